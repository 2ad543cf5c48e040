package deploy

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// release is .goreleaser.yaml, as far as it is used here: any other field is a mistake.
type release struct {
	Version int    `yaml:"version"`
	Project string `yaml:"project_name"`
	Dist    string `yaml:"dist"`
	Builds  []struct {
		ID        string   `yaml:"id"`
		Main      string   `yaml:"main"`
		Binary    string   `yaml:"binary"`
		Env       []string `yaml:"env"`
		Flags     []string `yaml:"flags"`
		Ldflags   []string `yaml:"ldflags"`
		Timestamp string   `yaml:"mod_timestamp"`
		OS        []string `yaml:"goos"`
		Arch      []string `yaml:"goarch"`
	} `yaml:"builds"`
	Archives []struct {
		Formats   []string `yaml:"formats"`
		Overrides []struct {
			OS      string   `yaml:"goos"`
			Formats []string `yaml:"formats"`
		} `yaml:"format_overrides"`
		Name  string   `yaml:"name_template"`
		Wrap  bool     `yaml:"wrap_in_directory"`
		Files []string `yaml:"files"`
	} `yaml:"archives"`
	Checksum struct {
		Name      string `yaml:"name_template"`
		Algorithm string `yaml:"algorithm"`
	} `yaml:"checksum"`
	Packages []struct {
		ID          string   `yaml:"id"`
		Name        string   `yaml:"package_name"`
		Vendor      string   `yaml:"vendor"`
		Homepage    string   `yaml:"homepage"`
		Maintainer  string   `yaml:"maintainer"`
		Description string   `yaml:"description"`
		License     string   `yaml:"license"`
		Section     string   `yaml:"section"`
		Formats     []string `yaml:"formats"`
		Bindir      string   `yaml:"bindir"`
		Recommends  []string `yaml:"recommends"`
		Contents    []struct {
			Src  string `yaml:"src"`
			Dst  string `yaml:"dst"`
			Type string `yaml:"type"`
			Info struct {
				Mode os.FileMode `yaml:"mode"`
			} `yaml:"file_info"`
		} `yaml:"contents"`
		Scripts map[string]string `yaml:"scripts"`
	} `yaml:"nfpms"`
	Images []struct {
		ID         string            `yaml:"id"`
		IDs        []string          `yaml:"ids"`
		Dockerfile string            `yaml:"dockerfile"`
		Images     []string          `yaml:"images"`
		Tags       []string          `yaml:"tags"`
		Platforms  []string          `yaml:"platforms"`
		Labels     map[string]string `yaml:"labels"`
	} `yaml:"dockers_v2"`
	Changelog struct {
		Disable bool `yaml:"disable"`
	} `yaml:"changelog"`
	Release struct {
		GitHub     map[string]string `yaml:"github"`
		Prerelease string            `yaml:"prerelease"`
		Footer     string            `yaml:"footer"`
	} `yaml:"release"`
}

// readRelease reads .goreleaser.yaml.
func readRelease(t *testing.T) release {
	t.Helper()
	var r release
	d := yaml.NewDecoder(bytes.NewReader([]byte(read(t, ".goreleaser.yaml"))))
	d.KnownFields(true)
	if err := d.Decode(&r); err != nil {
		t.Fatal(err)
	}
	if r.Version != 2 || len(r.Builds) != 1 || len(r.Archives) != 1 || len(r.Packages) != 1 || len(r.Images) != 1 {
		t.Fatalf("it is read as %+v", r)
	}
	return r
}

// TestRelease: static binaries that anybody can build again, for all platforms; a package with the unit; images for
// both kinds of processors. All that they are made of is there.
func TestRelease(t *testing.T) {
	r := readRelease(t)
	b := r.Builds[0]
	if !slices.Equal(b.OS, []string{"linux", "darwin", "windows", "freebsd"}) || !slices.Equal(b.Arch, []string{"amd64", "arm64"}) {
		t.Errorf("it is built for %s on %s", b.OS, b.Arch)
	}
	if !slices.Contains(b.Env, "CGO_ENABLED=0") || !slices.Contains(b.Flags, "-trimpath") || !slices.Contains(b.Flags, "-buildvcs=true") {
		t.Errorf("it is built with %s %s", b.Env, b.Flags)
	}
	if !strings.Contains(read(t, ".gitignore"), "/"+strings.Split(r.Dist, "/")[0]+"/\n") {
		t.Errorf("%s is not ignored by git, so versions would be +dirty", r.Dist)
	}
	p := r.Packages[0]
	there := func(path string) {
		t.Helper()
		if _, err := os.Stat(filepath.Join(root, path)); err != nil {
			t.Error(err)
		}
	}
	targets := make(map[string]string)
	for _, c := range p.Contents {
		there(c.Src)
		targets[c.Dst] = c.Src
		if strings.HasPrefix(c.Dst, "/etc/") && c.Type != "config|noreplace" {
			t.Errorf("an update replaces the operator's %s", c.Dst)
		}
	}
	if targets["/usr/lib/systemd/system/gbtpool.service"] != "deploy/systemd/gbtpool.service" || p.Bindir != "/usr/bin" {
		t.Errorf("the package has %v and the program in %s", targets, p.Bindir)
	}
	for _, script := range p.Scripts {
		there(script)
	}
	there(r.Images[0].Dockerfile)
	if !slices.Equal(r.Images[0].Platforms, []string{"linux/amd64", "linux/arm64"}) {
		t.Errorf("images are for %s", r.Images[0].Platforms)
	}
}

// TestArchive: everything of the kit is in the archives, and no secret.
func TestArchive(t *testing.T) {
	patterns := readRelease(t).Archives[0].Files
	in := func(path string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool {
			if dir, deep := strings.CutSuffix(p, "/**/*"); deep {
				return strings.HasPrefix(path, dir+"/")
			}
			ok, err := filepath.Match(p, path)
			return err == nil && ok
		})
	}
	for _, path := range strings.Fields(must(t, root, tool(t, "git", "git"), "ls-files", "deploy", "docs", "README.md", "LICENSE", "docker-compose.yml")) {
		if !in(path) {
			t.Errorf("%s is in no archive", path)
		}
	}
	for _, secret := range []string{"deploy/secrets/work_key", "deploy/secrets/redis_password", ".env"} {
		if in(secret) {
			t.Errorf("%s is in the archives", secret)
		}
	}
}

// TestDockerfiles: both images are static, run as nobody, and differ only in where the program comes from.
func TestDockerfiles(t *testing.T) {
	end := func(path string) string {
		_, stage, ok := strings.Cut(read(t, path), "FROM gcr.io/distroless/static-debian12:nonroot\n")
		if !ok {
			t.Fatalf("%s ends with another image", path)
		}
		var lines []string
		for line := range strings.Lines(stage) {
			if !strings.HasPrefix(line, "COPY ") && !strings.HasPrefix(line, "ARG ") && !strings.HasPrefix(line, "#") {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "")
	}
	source, released := end("Dockerfile"), end(readRelease(t).Images[0].Dockerfile)
	if source != released {
		t.Errorf("one image ends with\n%s\nthe other with\n%s", source, released)
	}
	for _, line := range []string{"USER 65532:65532\n", "HEALTHCHECK ", "VOLUME /var/lib/gbtpool\n", "ENTRYPOINT [\"/usr/local/bin/gbtpool\"]\n"} {
		if !strings.Contains(source, line) {
			t.Errorf("the image lacks %q", line)
		}
	}
	for _, part := range []string{"CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH", "-trimpath", "--platform=$BUILDPLATFORM golang:"} {
		if !strings.Contains(read(t, "Dockerfile"), part) {
			t.Errorf("the build lacks %q", part)
		}
	}
	ignored := read(t, ".dockerignore")
	for _, secret := range []string{"deploy/secrets\n", ".env\n"} {
		if !strings.Contains(ignored, secret) {
			t.Errorf("%s gets into the build", secret)
		}
	}
}
