package deploy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// exposure is how much of a host the unit may see at most, in tenths of the points that systemd-analyze gives: 0 is
// nothing and 100 all.
const exposure = "15"

// unit copies the systemd unit into a folder, with a program that is there.
func unit(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, "deploy/systemd/gbtpool.service")
	if !strings.Contains(text, "ExecStart=/usr/bin/gbtpool ") {
		t.Fatal("the unit does not start /usr/bin/gbtpool")
	}
	return write(t, t.TempDir(), "gbtpool.service", strings.ReplaceAll(text, "/usr/bin/gbtpool", self))
}

// TestUnit has systemd read the unit: no setting that it does not know, nothing contradictory.
func TestUnit(t *testing.T) {
	if out := must(t, ".", tool(t, "systemd-analyze", "systemd"), "verify", "--man=no", unit(t)); strings.Contains(out, "gbtpool.service") {
		t.Errorf("systemd says of the unit: %s", out)
	}
}

// TestUnitExposure has systemd judge how much of the host the unit sees.
func TestUnitExposure(t *testing.T) {
	must(t, ".", tool(t, "systemd-analyze", "systemd"), "security", "--offline=true", "--no-pager", "--threshold="+exposure, unit(t))
}

// TestSysusers has systemd make the unit's user, in a folder that stands for the host.
func TestSysusers(t *testing.T) {
	host := t.TempDir()
	for _, dir := range []string{"etc", "usr/lib/sysusers.d"} {
		if err := os.MkdirAll(filepath.Join(host, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(host, "usr/lib/sysusers.d"), "gbtpool.conf", read(t, "deploy/systemd/gbtpool.sysusers"))
	must(t, ".", tool(t, "systemd-sysusers", "systemd"), "--root="+host, "gbtpool.conf")
	passwd, err := os.ReadFile(filepath.Join(host, "etc/passwd"))
	if err != nil || !strings.Contains(string(passwd), "gbtpool:x:") || !strings.Contains(string(passwd), ":/var/lib/gbtpool:/usr/sbin/nologin") {
		t.Errorf("the users are %q, %v", passwd, err)
	}
}

// TestScripts has the shell read each script.
func TestScripts(t *testing.T) {
	for _, path := range []string{"deploy/setup.sh", "deploy/systemd/postinstall.sh", "deploy/systemd/preremove.sh"} {
		must(t, root, "/bin/sh", "-n", path)
		if info, err := os.Stat(filepath.Join(root, path)); err != nil || info.Mode().Perm()&0o111 != 0o111 {
			t.Errorf("%s cannot be run: %v", path, err)
		}
	}
}
