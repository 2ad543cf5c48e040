package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"
	"github.com/klauspost/compress/gzip"

	"github.com/gbtpool/gbtpool/api/accept"
)

//go:embed assets
var assetFiles embed.FS

// asset is a file as it is sent.
type asset struct {
	name        string // with the hash of the content
	contentType string
	plain, gzip []byte
}

// assets are the files that pages are made with.
type assets struct {
	byName map[string]*asset // by the name with the hash
	byFile map[string]*asset // by the name in the source
}

// newAssets reads all files, gives them their names and compresses them.
func newAssets() (*assets, error) {
	a := &assets{byName: make(map[string]*asset), byFile: make(map[string]*asset)}
	files, err := fs.ReadDir(assetFiles, "assets")
	if err != nil {
		return nil, fmt.Errorf("web: assets: %w", err)
	}
	for _, f := range files {
		if strings.HasSuffix(f.Name(), ".txt") {
			continue // a licence
		}
		if _, err := a.load(f.Name()); err != nil {
			return nil, fmt.Errorf("web: asset %s: %w", f.Name(), err)
		}
	}
	return a, nil
}

// imported finds the modules that a module imports.
func imported() *regexp.Regexp { return regexp.MustCompile(`from "\./([a-z]+\.js)"`) }

// load reads a file and, if it is a module, those that it imports, whose names it is changed to
// use: a module's own hash covers what it imports. A circle of imports would never end; there is
// none, or no test passes.
func (a *assets) load(file string) (*asset, error) {
	if known, ok := a.byFile[file]; ok {
		return known, nil
	}
	content, err := assetFiles.ReadFile("assets/" + file)
	if err != nil {
		return nil, err
	}
	if path.Ext(file) == ".js" {
		for _, m := range imported().FindAllSubmatch(content, -1) {
			module, err := a.load(string(m[1]))
			if err != nil {
				return nil, err
			}
			content = bytes.ReplaceAll(content, m[0], []byte(`from "./`+module.name+`"`))
		}
	}
	sum := sha256.Sum256(content)
	ext := path.Ext(file)
	out := &asset{
		name:        strings.TrimSuffix(file, ext) + "." + hex.EncodeToString(sum[:6]) + ext,
		contentType: mime.TypeByExtension(ext),
		plain:       content,
	}
	if ext == ".js" {
		out.contentType = "text/javascript; charset=utf-8" // whatever the system's table says
	}
	var buf bytes.Buffer
	if err := compress(&buf, content, gzip.BestCompression); err != nil {
		return nil, err
	}
	out.gzip = buf.Bytes()
	a.byFile[file], a.byName[out.name] = out, out
	return out, nil
}

// compress writes gzip.
func compress(w io.Writer, content []byte, level int) error {
	z, err := gzip.NewWriterLevel(w, level)
	if err != nil {
		return err
	}
	if _, err := z.Write(content); err != nil {
		return err
	}
	return z.Close()
}

// url returns the path of a file; it fails when there is none.
func (a *assets) url(file string) (string, error) {
	f, ok := a.byFile[file]
	if !ok {
		return "", fmt.Errorf("web: no asset %q", file)
	}
	return "/assets/" + f.name, nil
}

// serve answers with a file, which browsers keep for ever.
func (a *assets) serve(w http.ResponseWriter, r *http.Request) {
	f, ok := a.byName[chi.URLParam(r, "name")]
	if !ok {
		w.Header().Set("Cache-Control", "no-store") // a page of an older version may ask
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Vary", "Accept-Encoding")
	body := f.plain
	if accept.Coding(r.Header, "gzip") != "" {
		h.Set("Content-Encoding", "gzip")
		body = f.gzip
	}
	send(w, r, http.StatusOK, body)
}

// send writes an answer. HEAD gets the headers alone.
func send(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(body); err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
}
