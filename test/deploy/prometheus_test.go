package deploy

import (
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// rule is one alert.
type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// rules reads the alerts.
func rules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Rules []rule `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/prometheus/rules.yml")), &file); err != nil {
		t.Fatal(err)
	}
	var out []rule
	for _, g := range file.Groups {
		out = append(out, g.Rules...)
	}
	if len(out) < 20 {
		t.Fatalf("only %d alerts were read", len(out))
	}
	return out
}

// TestPrometheus has promtool read the configuration and the alerts, and run the alerts' tests.
func TestPrometheus(t *testing.T) {
	promtool, dir := tool(t, "promtool", "prometheus"), root+"/deploy/prometheus"
	must(t, dir, promtool, "check", "config", "--lint-fatal", "prometheus.yml")
	must(t, dir, promtool, "check", "rules", "--lint-fatal", "rules.yml")
	must(t, dir, promtool, "test", "rules", "rules_test.yml")
}

// TestAlerts: each alert says how bad it is, what is wrong in a sentence, and where it is written what to do; and is
// tested both silent and firing.
func TestAlerts(t *testing.T) {
	tests := read(t, "deploy/prometheus/rules_test.yml")
	for _, r := range rules(t) {
		if s := r.Labels["severity"]; s != "warning" && s != "critical" {
			t.Errorf("%s: the severity is %q", r.Alert, s)
		}
		if !strings.HasSuffix(r.Annotations["summary"], ".") {
			t.Errorf("%s: the summary is %q", r.Alert, r.Annotations["summary"])
		}
		path, ok := strings.CutPrefix(r.Annotations["runbook_url"], "https://github.com/gbtpool/gbtpool/blob/main/")
		path, anchor, anchored := strings.Cut(path, "#")
		if !ok || !anchored || !anchors(read(t, path))[anchor] {
			t.Errorf("%s: %s leads nowhere", r.Alert, r.Annotations["runbook_url"])
		}
		for _, how := range []string{"is silent", "fires"} {
			if !strings.Contains(tests, "- name: "+r.Alert+" "+how+"\n") {
				t.Errorf("%s: no test that it %s", r.Alert, how)
			}
		}
	}
}

// TestScraped: what Prometheus asks are the gateways and ports of the compose file, and the alerts are about that job.
func TestScraped(t *testing.T) {
	text := read(t, "deploy/prometheus/prometheus.yml")
	for _, chain := range chains() {
		for _, name := range []string{"gateway-a", "gateway-b"} {
			aliases := compose(t, chain).Services[name+"-"+chain].Networks["front"].Aliases
			if len(aliases) != 1 || aliases[0] != name || !strings.Contains(text, `"`+name+`:9334"`) {
				t.Errorf("%s is %s on Caddy's and Prometheus's network", name, aliases)
			}
		}
	}
	if !strings.Contains(text, "job_name: gbtpool\n") {
		t.Error("there is no job gbtpool")
	}
	for _, r := range rules(t) {
		for _, m := range regexp.MustCompile(`job="(\w+)"`).FindAllStringSubmatch(r.Expr, -1) {
			if m[1] != "gbtpool" {
				t.Errorf("%s is about the job %s", r.Alert, m[1])
			}
		}
	}
}

// anchors are those that GitHub makes of a document's headings.
func anchors(text string) map[string]bool {
	out := make(map[string]bool)
	drop := regexp.MustCompile("[^a-z0-9 _-]")
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			out[strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-")] = true
		}
	}
	return out
}
