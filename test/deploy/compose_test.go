package deploy

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// chains are the profiles of the compose file.
func chains() []string { return []string{"regtest", "signet", "mainnet"} }

// once are the services that do something and end.
func once() []string { return []string{"owners", "token-keys"} }

// compose loads the compose file with a profile, as docker compose does.
func compose(t *testing.T, profile string, env ...string) *types.Project {
	t.Helper()
	return composeFiles(t, profile, []string{"docker-compose.yml"}, env...)
}

func composeFiles(t *testing.T, profile string, files []string, env ...string) *types.Project {
	t.Helper()
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for i, file := range files {
		files[i] = filepath.Join(dir, file)
	}
	options, err := cli.NewProjectOptions(files, cli.WithWorkingDirectory(dir), cli.WithEnv(env), cli.WithProfiles([]string{profile}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context()) // against the schema of the Compose Specification
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// TestComposeProfiles wants one node and two gateways on the chain of each profile, all that is around them, and
// nothing without a profile, so that no chain is taken for another.
func TestComposeProfiles(t *testing.T) {
	for _, chain := range chains() {
		p := compose(t, chain)
		want := []string{
			"bitcoind-" + chain, "caddy", "gateway-a-" + chain, "gateway-b-" + chain, "grafana", "owners", "prometheus", "redis", "token-keys",
		}
		if got := slices.Sorted(maps.Keys(p.Services)); !slices.Equal(got, want) {
			t.Errorf("%s starts %s, want %s", chain, got, want)
		}
		node := p.Services["bitcoind-"+chain]
		flag := "-chain=" + map[string]string{"regtest": "regtest", "signet": "signet", "mainnet": "main"}[chain]
		if !slices.Contains(node.Command, flag) {
			t.Errorf("%s: the node's command is %s, want %s in it", chain, node.Command, flag)
		}
	}
	if p := compose(t, "none"); len(p.Services) > 0 {
		t.Errorf("without a profile %s start", names(p.Services))
	}
}

// TestComposeTLS loads the file that adds HTTPS, and wants to be told the host's name.
func TestComposeTLS(t *testing.T) {
	p := composeFiles(t, "mainnet", []string{"docker-compose.yml", "deploy/compose.tls.yml"}, "GBTPOOL_DOMAIN=pool.example.org")
	caddy := p.Services["caddy"]
	if site := caddy.Environment["GBTPOOL_SITE"]; site == nil || *site != "http://:9332, pool.example.org" {
		t.Errorf("the site is %v", site)
	}
	published := make(map[string]bool)
	for _, port := range caddy.Ports {
		published[port.Published] = true
	}
	for _, port := range []string{"80", "443", "9332"} {
		if !published[port] {
			t.Errorf("port %s is not published", port)
		}
	}
}

// TestComposeHardened holds every service to what containers of a pool must not be able to do. The one that is root
// can do nothing but hand volumes to their users.
func TestComposeHardened(t *testing.T) {
	pinned := regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?$`)
	may := map[string][]string{"owners": {"CHOWN"}, "caddy": {"NET_BIND_SERVICE"}}
	for _, chain := range chains() {
		for name, s := range compose(t, chain).Services {
			switch {
			case !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.CapAdd, may[name]):
				t.Errorf("%s: drops the capabilities %s and adds %s", name, s.CapDrop, s.CapAdd)
			case !slices.Contains(s.SecurityOpt, "no-new-privileges:true"):
				t.Errorf("%s: may gain privileges", name)
			case s.Privileged || s.Pid != "" || s.Ipc != "" || len(s.Devices) > 0:
				t.Errorf("%s: is not kept apart from the host", name)
			case !s.ReadOnly:
				t.Errorf("%s: writes to its file system", name)
			case s.MemLimit <= 0 || s.CPUS <= 0:
				t.Errorf("%s: has no limits of memory and processors", name)
			case !pinned.MatchString(s.Image) && s.Build == nil:
				t.Errorf("%s: %s is not pinned to a version", name, s.Image)
			}
			root := s.User == "" || strings.HasPrefix(s.User, "0") || strings.HasPrefix(s.User, "root")
			if root && (name != "owners" || s.NetworkMode != "none") {
				t.Errorf("%s: runs as %q", name, s.User)
			}
			if slices.Contains(once(), name) {
				continue
			}
			if s.HealthCheck == nil || s.HealthCheck.Disable || len(s.HealthCheck.Test) < 2 {
				t.Errorf("%s: nobody asks how it is", name)
			}
			if s.Restart != types.RestartPolicyUnlessStopped {
				t.Errorf("%s: restarts %q", name, s.Restart)
			}
		}
	}
}

// TestComposeFiles finds everything that is mounted, and each volume's owner.
func TestComposeFiles(t *testing.T) {
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	made := setUp(t, "regtest")
	for _, chain := range chains() {
		p := compose(t, chain)
		owned := make(map[string]string) // who owns a volume, by its name
		for line := range strings.Lines(p.Services["owners"].Command[2]) {
			if fields := strings.Fields(line); len(fields) > 2 && fields[0] == "chown" {
				for _, path := range fields[2:] {
					owned[strings.TrimPrefix(path, "/v/")] = fields[1]
				}
			}
		}
		for name, s := range p.Services {
			for _, v := range s.Volumes {
				switch _, err := os.Stat(v.Source); {
				case v.Type == types.VolumeTypeBind && err != nil:
					t.Errorf("%s mounts what is not there: %v", name, err)
				case v.Type == types.VolumeTypeBind && !v.ReadOnly:
					t.Errorf("%s may write to %s", name, v.Source)
				case v.Type == types.VolumeTypeVolume && !v.ReadOnly && name != "owners" && owned[v.Source] != s.User:
					t.Errorf("%s runs as %s, and its volume %s is of %s", name, s.User, v.Source, owned[v.Source])
				}
			}
		}
		for name, secret := range p.Secrets {
			path, err := filepath.Rel(dir, secret.File)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(made, path)); err != nil {
				t.Errorf("setup.sh does not make the secret %s: %v", name, err)
			}
		}
	}
}

// TestComposePorts: only miners and the world of nodes get in from outside. Metrics, Grafana and above all Redis and
// RPC do not listen there.
func TestComposePorts(t *testing.T) {
	open := map[string][]string{"caddy": {"9332"}, "bitcoind-mainnet": {"8333"}}
	for _, chain := range chains() {
		p := compose(t, chain)
		for name, s := range p.Services {
			var public []string
			for _, port := range s.Ports {
				if port.HostIP != "127.0.0.1" {
					public = append(public, port.Published)
				}
			}
			if !slices.Equal(public, open[name]) {
				t.Errorf("%s publishes %s, want %s", name, public, open[name])
			}
		}
		for name := range p.Services["redis"].Networks {
			if name != "ledger" || !p.Networks[name].Internal {
				t.Errorf("redis is on the network %s", name)
			}
		}
		if networks := p.Services["bitcoind-"+chain].Networks; len(networks) != 1 || networks["node"] == nil {
			t.Errorf("the node is on the networks %s", names(networks))
		}
	}
}

// TestComposeGateways: the two gateways of a pool share what they must, and nothing else.
func TestComposeGateways(t *testing.T) {
	for _, chain := range chains() {
		p := compose(t, chain, "GBTPOOL_PAYOUT_ADDRESS=somewhere")
		a, b := p.Services["gateway-a-"+chain], p.Services["gateway-b-"+chain]
		data := func(s types.ServiceConfig) (config, data string) {
			for _, v := range s.Volumes {
				switch v.Target {
				case "/etc/gbtpool/gbtpool.yaml":
					config = v.Source
				case "/var/lib/gbtpool":
					data = v.Source
				}
			}
			return config, data
		}
		configA, dataA := data(a)
		configB, dataB := data(b)
		if configA != configB || filepath.Base(configA) != chain+".yaml" || dataA == dataB {
			t.Errorf("%s: a has %s and %s, b has %s and %s", chain, configA, dataA, configB, dataB)
		}
		nameA, nameB := a.Environment["GBTPOOL_GATEWAY_NAME"], b.Environment["GBTPOOL_GATEWAY_NAME"]
		if nameA == nil || nameB == nil || *nameA == *nameB {
			t.Errorf("%s: both gateways have one name", chain)
		}
		for _, s := range []types.ServiceConfig{a, b} {
			if addr := s.Environment["GBTPOOL_PAYOUT_ADDRESS"]; addr == nil || *addr != "somewhere" {
				t.Errorf("%s: the payout address of .env does not get to %s", chain, s.Name)
			}
			if s.StopGracePeriod == nil || s.StopGracePeriod.String() != "30s" {
				t.Errorf("%s: has %s to end", s.Name, s.StopGracePeriod)
			}
		}
	}
}
