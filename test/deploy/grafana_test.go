package deploy

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// source names a data source in a dashboard.
type source struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// panel is one panel of a dashboard.
type panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Source      source `json:"datasource"`
	Grid        struct {
		H, W, X, Y int
	} `json:"gridPos"`
	Targets []struct {
		RefID  string `json:"refId"`
		Source source `json:"datasource"`
		Expr   string `json:"expr"`
	} `json:"targets"`
}

// dashboard is the part of a dashboard that is checked.
type dashboard struct {
	UID        string  `json:"uid"`
	Title      string  `json:"title"`
	Panels     []panel `json:"panels"`
	Templating struct {
		List []struct {
			Name   string `json:"name"`
			Source source `json:"datasource"`
			Query  struct {
				Query string `json:"query"`
			} `json:"query"`
		} `json:"list"`
	} `json:"templating"`
}

// readDashboard reads the dashboard.
func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/dashboards/gbtpool.json")), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) < 30 || d.UID == "" {
		t.Fatalf("%d panels of dashboard %q were read", len(d.Panels), d.UID)
	}
	return d
}

// plain returns an expression with Grafana's variables replaced by what they may stand for.
func plain(expr string) string {
	return strings.NewReplacer("$__rate_interval", "1m", "$gateway", "gateway-a:9332|gateway-b:9332").Replace(expr)
}

// TestDashboard: panels have numbers and places of their own, say what they show, and ask the data source that is
// provisioned, in PromQL that promtool reads.
func TestDashboard(t *testing.T) {
	var sources struct {
		Datasources []struct {
			UID  string `yaml:"uid"`
			Type string `yaml:"type"`
			URL  string `yaml:"url"`
		} `yaml:"datasources"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/grafana/provisioning/datasources/prometheus.yml")), &sources); err != nil {
		t.Fatal(err)
	}
	if len(sources.Datasources) != 1 || sources.Datasources[0].URL != "http://prometheus:9090" {
		t.Fatalf("the data sources are %+v", sources)
	}
	want := source{sources.Datasources[0].Type, sources.Datasources[0].UID}
	d := readDashboard(t)
	taken, cells := make(map[int]string), make(map[[2]int]string)
	var checked strings.Builder
	checked.WriteString("groups:\n  - name: panels\n    rules:\n")
	for _, p := range d.Panels {
		if p.ID == 0 || taken[p.ID] != "" {
			t.Errorf("%s has the number %d of %s", p.Title, p.ID, taken[p.ID])
		}
		taken[p.ID] = p.Title
		for x := p.Grid.X; x < p.Grid.X+p.Grid.W; x++ {
			for y := p.Grid.Y; y < p.Grid.Y+p.Grid.H; y++ {
				if cells[[2]int{x, y}] != "" || x >= 24 {
					t.Errorf("%s covers %s", p.Title, cells[[2]int{x, y}])
				}
				cells[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Source != want || len(p.Targets) == 0 {
			t.Errorf("panel %d, %q, asks %+v %d queries", p.ID, p.Title, p.Source, len(p.Targets))
		}
		for _, q := range p.Targets {
			if q.Source != want {
				t.Errorf("%s: query %s asks %+v", p.Title, q.RefID, q.Source)
			}
			fmt.Fprintf(&checked, "      - {record: \"panel%d:%s\", expr: %q}\n", p.ID, q.RefID, plain(q.Expr))
		}
	}
	must(t, ".", tool(t, "promtool", "prometheus"), "check", "rules", write(t, t.TempDir(), "panels.yml", checked.String()))
}

// TestDashboardProvisioned: the dashboard lies where its provider looks in the container.
func TestDashboardProvisioned(t *testing.T) {
	provider := read(t, "deploy/grafana/provisioning/dashboards/gbtpool.yml")
	m := regexp.MustCompile(`path: ([^}]+)}`).FindStringSubmatch(provider)
	if m == nil {
		t.Fatal("the provider names no folder")
	}
	for _, v := range compose(t, "regtest").Services["grafana"].Volumes {
		if v.Target == m[1] {
			if dir, err := filepath.Abs(filepath.Join(root, "deploy/grafana/dashboards")); err != nil || v.Source != dir {
				t.Errorf("%s is %s there, %v", m[1], v.Source, err)
			}
			return
		}
	}
	t.Errorf("nothing is mounted at %s", m[1])
}
