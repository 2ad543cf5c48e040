package web

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/klauspost/compress/gzip"
)

// contractDoc is the contract as the page shows it.
type contractDoc struct {
	Title, Version string
	About          []paragraph
	Tags           []tagDoc
	Schemas        []schemaDoc
	ETag           string
	gzip           []byte // the contract itself, compressed
}

type tagDoc struct {
	Name, About string
	Operations  []operationDoc
}

type operationDoc struct {
	ID, Method, Path, Summary string
	About                     []paragraph
	Parameters                []fieldDoc
	Body                      *typeDoc
	Example                   string // of the body
	Answers                   []answerDoc
	Scopes                    string // what a token needs
	before, after             string // a command, but for the pool's URL
}

// Line is a command for the operation, on a pool.
func (o operationDoc) Line(pool string) string { return o.before + pool + o.after }

type answerDoc struct {
	Status, About string
	Type          *typeDoc
}

type schemaDoc struct {
	Name, About string
	Is          string // what it is, if it has no fields
	Fields      []fieldDoc
}

type fieldDoc struct {
	Name, In string
	Required bool
	Type     typeDoc
	About    string
}

// typeDoc is a type in words, and the schema that it is or contains.
type typeDoc struct {
	Words, Ref string
}

// readContract prepares the contract.
func readContract(text string) (*contractDoc, error) {
	doc, err := openapi3.NewLoader().LoadFromData([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("web: contract: %w", err)
	}
	sum := sha256.Sum256([]byte(text))
	out := &contractDoc{
		Title: doc.Info.Title, Version: doc.Info.Version, About: prose(doc.Info.Description),
		ETag: `"` + hex.EncodeToString(sum[:12]) + `"`,
	}
	for _, tag := range doc.Tags {
		out.Tags = append(out.Tags, tagDoc{Name: tag.Name, About: tag.Description, Operations: operations(doc, tag.Name)})
	}
	for _, name := range slices.Sorted(maps.Keys(doc.Components.Schemas)) {
		s := doc.Components.Schemas[name]
		d := schemaDoc{Name: name, About: s.Value.Description, Fields: fields("", s)}
		if len(d.Fields) == 0 {
			d.Is = plainType(s.Value)
		}
		out.Schemas = append(out.Schemas, d)
	}
	var buf bytes.Buffer
	if err := compress(&buf, []byte(text), gzip.BestCompression); err != nil {
		return nil, fmt.Errorf("web: contract: %w", err)
	}
	out.gzip = buf.Bytes()
	return out, nil
}

// operations returns those with a tag, by path.
func operations(doc *openapi3.T, tag string) []operationDoc {
	var out []operationDoc
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			if slices.Contains(op.Tags, tag) {
				out = append(out, newOperation(method, path, op))
			}
		}
	}
	slices.SortFunc(out, func(a, b operationDoc) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Method, b.Method))
	})
	return out
}

func newOperation(method, path string, op *openapi3.Operation) operationDoc {
	out := operationDoc{ID: op.OperationID, Method: method, Path: path, Summary: op.Summary, About: prose(op.Description)}
	target, query := path, url.Values{}
	for _, p := range op.Parameters {
		v := p.Value
		out.Parameters = append(out.Parameters, fieldDoc{Name: v.Name, In: v.In, Required: v.Required, Type: typeOf(v.Schema), About: v.Description})
		example := fmt.Sprint(v.Example)
		switch {
		case v.Example == nil:
		case v.In == openapi3.ParameterInPath:
			target = strings.ReplaceAll(target, "{"+v.Name+"}", example)
		case v.In == openapi3.ParameterInQuery:
			if list, ok := v.Example.([]any); ok {
				example = strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ","), "[]")
			}
			query.Set(v.Name, example)
		}
	}
	if op.Security != nil {
		out.Scopes = scopes(*op.Security)
	}
	curl := "curl -s "
	if method != "GET" {
		curl += "-X " + method + " "
	}
	if out.Scopes != "" {
		curl += `-H "Authorization: Bearer $TOKEN" `
	}
	if op.RequestBody != nil {
		curl += bodyOf(op.RequestBody.Value, &out)
	}
	out.before, out.after = curl+"'", target+"'"
	if len(query) > 0 {
		out.after = target + "?" + strings.ReplaceAll(query.Encode(), "%2C", ",") + "'"
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses.Map())) {
		out.Answers = append(out.Answers, newAnswer(status, op.Responses.Value(status).Value))
	}
	return out
}

// bodyOf describes a request's body, and returns the part of a curl line that sends an example.
func bodyOf(b *openapi3.RequestBody, out *operationDoc) string {
	for media, content := range b.Content {
		t := typeOf(content.Schema)
		out.Body = &t
		example := content.Example
		if names := slices.Sorted(maps.Keys(content.Examples)); len(names) > 0 {
			example = content.Examples[names[0]].Value.Value
		}
		if example == nil {
			continue
		}
		text, err := json.Marshal(example)
		if err != nil {
			continue // no example is better than half of one
		}
		out.Example = string(text)
		return "-H 'Content-Type: " + media + "' -d '" + out.Example + "' "
	}
	return ""
}

func newAnswer(status string, r *openapi3.Response) answerDoc {
	out := answerDoc{Status: status}
	if r.Description != nil {
		out.About = *r.Description
	}
	if media := slices.Sorted(maps.Keys(r.Content)); len(media) > 0 {
		t := typeOf(r.Content[media[0]].Schema)
		if t.Ref == "" {
			t.Words = media[0]
		}
		out.Type = &t
	}
	return out
}

// scopes names what a token needs; empty if none is needed.
func scopes(reqs openapi3.SecurityRequirements) string {
	var out []string
	for _, req := range reqs {
		if len(req) == 0 {
			return ""
		}
		out = append(out, req["token"]...)
	}
	return strings.Join(out, ", ")
}

// fields returns an object's, with those of objects inside it after a dot.
func fields(prefix string, ref *openapi3.SchemaRef) []fieldDoc {
	s := ref.Value
	var out []fieldDoc
	for _, part := range s.AllOf {
		out = append(out, fields(prefix, part)...)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[name]
		out = append(out, fieldDoc{Name: prefix + name, Required: slices.Contains(s.Required, name), Type: typeOf(p), About: p.Value.Description})
		switch {
		case p.Ref != "":
		case p.Value.Items != nil && p.Value.Items.Ref == "":
			out = append(out, fields(prefix+name+"[].", p.Value.Items)...)
		default:
			out = append(out, fields(prefix+name+".", p)...)
		}
	}
	return out
}

// typeOf writes a schema in words.
func typeOf(ref *openapi3.SchemaRef) typeDoc {
	if ref == nil {
		return typeDoc{Words: "anything"}
	}
	if ref.Ref != "" {
		name := ref.Ref[strings.LastIndex(ref.Ref, "/")+1:]
		return typeDoc{Words: name, Ref: name}
	}
	s := ref.Value
	if s.Items != nil {
		t := typeOf(s.Items)
		return typeDoc{Words: "array of " + t.Words, Ref: t.Ref}
	}
	return typeDoc{Words: plainType(s)}
}

// plainType writes a schema that refers to no other.
func plainType(s *openapi3.Schema) string {
	words := "anything"
	if s.Type != nil && len(*s.Type) > 0 {
		words = (*s.Type)[0]
	}
	if s.Format != "" {
		words += " (" + s.Format + ")"
	}
	if len(s.Enum) > 0 {
		names := make([]string, len(s.Enum))
		for i, e := range s.Enum {
			names[i] = fmt.Sprint(e)
		}
		words = strings.Join(names, " | ")
	}
	if len(s.OneOf) > 0 {
		kinds := make([]string, len(s.OneOf))
		for i, o := range s.OneOf {
			kinds[i] = typeOf(o).Words
		}
		words = strings.Join(kinds, " or ")
	}
	if s.Pattern != "" {
		words += " " + s.Pattern
	}
	if s.Nullable {
		words += " or null"
	}
	return words
}

// paragraph is a text in pieces.
type paragraph []piece

// piece is text that is plain, code or strong.
type piece struct {
	Text, Kind string
}

// prose reads the little Markdown that the contract is written in: paragraphs, `code`, **strong**.
func prose(text string) []paragraph {
	var out []paragraph
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		block = strings.Join(strings.Fields(block), " ")
		if block == "" {
			continue
		}
		var para paragraph
		for i, part := range strings.Split(block, "`") {
			if i%2 == 1 {
				para = append(para, piece{Text: part, Kind: "code"})
				continue
			}
			for j, words := range strings.Split(part, "**") {
				kind := ""
				if j%2 == 1 {
					kind = "strong"
				}
				if words != "" {
					para = append(para, piece{Text: words, Kind: kind})
				}
			}
		}
		out = append(out, para)
	}
	return out
}
