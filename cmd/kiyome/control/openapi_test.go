package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"kiyome/accounts"
	"kiyome/rules"
)

var update = flag.Bool("update", false, "rewrite openapi.json as far as the types decide it")

// schemas names the types that go over the wire as openapi.json does.
var schemas = map[string]reflect.Type{
	"Account": reflect.TypeFor[accounts.Account](), "NewAccount": reflect.TypeFor[accounts.NewAccount](),
	"Settings": reflect.TypeFor[accounts.Settings](), "State": reflect.TypeFor[accounts.State](),
	"Removal": reflect.TypeFor[accounts.Removal](), "Pending": reflect.TypeFor[accounts.Pending](), "Event": reflect.TypeFor[accounts.Event](),
	"Transition": reflect.TypeFor[transition](), "Closing": reflect.TypeFor[closing](),
	"Standing": reflect.TypeFor[accounts.Standing](), "Offer": reflect.TypeFor[accounts.Offer](),
	"Charge": reflect.TypeFor[accounts.Charge](), "Difference": reflect.TypeFor[accounts.Difference](),
	"Bill": reflect.TypeFor[accounts.Bill](), "Imported": reflect.TypeFor[accounts.Imported](),
	"Progress": reflect.TypeFor[stage](), "Line": reflect.TypeFor[message](),
	"Checked": reflect.TypeFor[checked](), "Silencing": reflect.TypeFor[silencing](),
	"Status": reflect.TypeFor[Status](), "Counts": reflect.TypeFor[Counts](),
	"Reloaded": reflect.TypeFor[Reloaded](), "Fault": reflect.TypeFor[fault](),
}

// object is JSON.
type object = map[string]any

// schemaOf describes a type by what encoding/json makes of it. Structures of the
// other rooms are objects, no more: they are theirs.
func schemaOf(t reflect.Type) object {
	for name, known := range schemas {
		if t == known {
			return object{"$ref": "#/components/schemas/" + name}
		}
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[accounts.Month]():
		return object{"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}$"}
	case t == reflect.TypeFor[json.RawMessage]():
		return object{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return object{"type": "integer"}
	case reflect.Slice:
		return object{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Struct:
		return object{"type": "object"}
	}
	panic(t)
}

// properties describes the fields of a structure.
func properties(t reflect.Type) (all object, required []any) {
	all = make(object)
	for f := range t.Fields() {
		if f.Anonymous {
			inner, needed := properties(f.Type)
			maps.Copy(all, inner)
			required = append(required, needed...)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		all[name] = schemaOf(f.Type)
		if options == "" {
			required = append(required, name)
		}
	}
	return all, required
}

// bring puts what the types decide into a schema; the words that are there stay.
func bring(schema object, t reflect.Type) {
	fields, required := properties(t)
	schema["type"], schema["additionalProperties"] = "object", false
	delete(schema, "required")
	if required != nil {
		schema["required"] = required
	}
	old, _ := schema["properties"].(object)
	for name, field := range fields {
		field := field.(object)
		words, _ := old[name].(object)
		for _, key := range []string{"description", "enum"} {
			if words[key] != nil {
				field[key] = words[key]
			}
		}
		if field["$ref"] != nil && len(field) > 1 { // beside a reference nothing counts
			field["allOf"] = []any{object{"$ref": field["$ref"]}}
			delete(field, "$ref")
		}
	}
	schema["properties"] = fields
}

func readSpec(t *testing.T) object {
	t.Helper()
	var spec object
	if err := json.Unmarshal(description, &spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

func at(v any, path ...string) any {
	for _, key := range path {
		o, _ := v.(object)
		v = o[key]
	}
	return v
}

// TestOpenAPIDescribesTheTypes: the schemas are those of the types; -update mends them.
func TestOpenAPIDescribesTheTypes(t *testing.T) {
	spec := readSpec(t)
	written := at(spec, "components", "schemas").(object)
	if got, want := slices.Sorted(maps.Keys(written)), slices.Sorted(maps.Keys(schemas)); !slices.Equal(got, want) {
		t.Errorf("schemas %v, want %v", got, want)
	}
	for name, typ := range schemas {
		schema, _ := written[name].(object)
		if schema["description"] == nil {
			t.Errorf("%s: no description", name)
			continue
		}
		bring(schema, typ)
	}
	var want bytes.Buffer
	e := json.NewEncoder(&want)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(spec); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(want.Bytes(), description) {
		return
	}
	if !*update {
		t.Fatal("openapi.json describes other types than there are; go test ./cmd/kiyome/control -run OpenAPI -update mends it")
	}
	if err := os.WriteFile("openapi.json", want.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestOpenAPIDescribesTheRoutes: all that can be asked, and nothing else, with its parameters.
func TestOpenAPIDescribesTheRoutes(t *testing.T) {
	spec := readSpec(t)
	var described, served []string
	for path, methods := range at(spec, "paths").(object) {
		for method, op := range methods.(object) {
			described = append(described, strings.ToUpper(method)+" "+path)
			var named []string
			parameters, _ := at(op, "parameters").([]any)
			for _, p := range parameters {
				if at(p, "in") == "path" {
					named = append(named, "{"+at(p, "name").(string)+"}")
				}
			}
			for _, part := range strings.Split(path, "/") {
				if strings.HasPrefix(part, "{") != slices.Contains(named, part) {
					t.Errorf("%s %s: parameters %v", method, path, named)
				}
			}
			if at(op, "summary") == nil || at(op, "responses", "200") == nil {
				t.Errorf("%s %s: no summary or no answer", method, path)
			}
		}
	}
	for _, r := range new(Server).routes() {
		served = append(served, r.pattern)
	}
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Errorf("described\n%s\nserved\n%s", strings.Join(described, "\n"), strings.Join(served, "\n"))
	}
}

// conforms reports where a value is not as its schema says.
func conforms(spec object, schema any, v any, where string) error {
	s, _ := schema.(object)
	if ref, ok := s["$ref"].(string); ok {
		return conforms(spec, at(spec, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...), v, where)
	}
	if all, ok := s["allOf"].([]any); ok {
		return conforms(spec, all[0], v, where)
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		return fmt.Errorf("%s: %v is none of %v", where, v, enum)
	}
	is := map[string]bool{"": true}
	switch v.(type) {
	case object:
		is["object"] = true
	case []any:
		is["array"] = true
	case string:
		is["string"] = true
	case bool:
		is["boolean"] = true
	case float64:
		is["integer"] = true
	}
	if kind, _ := s["type"].(string); !is[kind] {
		return fmt.Errorf("%s: %v is no %s", where, v, kind)
	}
	list, _ := v.([]any)
	for i, e := range list {
		if err := conforms(spec, s["items"], e, fmt.Sprintf("%s[%d]", where, i)); err != nil {
			return err
		}
	}
	fields, _ := v.(object)
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := fields[name.(string)]; !ok {
			return fmt.Errorf("%s: no %s", where, name)
		}
	}
	for name, e := range fields {
		field, ok := at(s, "properties", name).(object)
		if !ok && s["additionalProperties"] == false {
			return fmt.Errorf("%s: there is no %s", where, name)
		}
		if err := conforms(spec, field, e, where+"."+name); err != nil {
			return err
		}
	}
	return nil
}

// TestOpenAPIDescribesTheAnswers: what the server answers, errors too, is what the
// description says of it.
func TestOpenAPIDescribesTheAnswers(t *testing.T) {
	spec := readSpec(t)
	now := time.Date(2014, 12, 5, 0, 0, 0, 0, time.UTC)
	dir := t.TempDir()
	db, err := accounts.Create(dir+"/accounts.db", accounts.Options{Path: "/m/{domain}/{local}", Now: func() time.Time { return now },
		Tariff: accounts.Tariff{Currency: "JPY", Prices: []accounts.Price{{Service: accounts.Inbound, Fee: 150}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	history := accounts.OpenRemovals(filepath.Join(dir, accounts.RemovalsName), 100*365*24*time.Hour, slog.New(slog.DiscardHandler))
	history.Add(accounts.Removal{Time: now, Address: "a@example.jp", Direction: accounts.Inbound, What: accounts.WhatFile, File: "a.exe", Malware: "x", Result: accounts.AttachmentRemoved})
	if err := history.Close(); err != nil {
		t.Fatal(err)
	}
	c := start(t, Options{Accounts: db, Operator: operator{reload: func() (Reloaded, error) {
		return Reloaded{Rules: rules.Compiled{Version: "x"}, Restart: []string{"hostname"}}, nil
	}}})
	const one = "/accounts/a%40example.jp"
	for _, tt := range []struct {
		method, path, route, body string
		status                    int
	}{
		{"GET", "/openapi.json", "", "", 200},
		{"GET", "/ping", "", "", 200},
		{"GET", "/status", "", "", 200},
		{"POST", "/accounts", "", `{"address":"A@example.jp","owner":"7","main":true,"at":"2014-10-01T00:00:00Z"}`, 200},
		{"POST", "/accounts", "", `{"address":"a@example.jp"}`, 409},
		{"POST", "/accounts", "", `{"address":"b@example.jp","no_course":true}`, 200},
		{"POST", "/accounts", "", `{"addres":"b@example.jp"}`, 400},
		{"POST", "/accounts", "", `{"address":"c@example.jp","language":"fr"}`, 400},
		{"GET", one, "/accounts/{address}", "", 200},
		{"GET", "/accounts/nobody%40example.jp", "/accounts/{address}", "", 404},
		{"PATCH", one, "/accounts/{address}", `{"language":"en"}`, 200},
		{"GET", one + "/services", "/accounts/{address}/services", "", 200},
		{"POST", one + "/events", "/accounts/{address}/events", `{"kind":"subscribed","service":"inbound","at":"2014-11-03T00:00:00Z"}`, 200},
		{"POST", one + "/events", "/accounts/{address}/events", `{"kind":"subscribed","service":"postal"}`, 409},
		{"POST", one + "/events", "/accounts/{address}/events", `{"kind":"paused","service":"inbound","when":"2014-11-03T00:00:00Z"}`, 400},
		{"POST", one + "/events", "/accounts/{address}/events", `{"kind":"paused","service":"inbound","at":"2015-11-03T00:00:00Z"}`, 200},
		{"POST", "/accounts/b%40example.jp/events", "/accounts/{address}/events", `{"kind":"subscribed","service":"inbound"}`, 409},
		{"POST", "/accounts/b%40example.jp/events", "/accounts/{address}/events", `{"kind":"subscribed","service":"inbound","force":true}`, 200},
		{"GET", one + "/services", "/accounts/{address}/services", "", 200},
		{"GET", one + "/events", "/accounts/{address}/events", "", 200},
		{"GET", one + "/removals?limit=2", "/accounts/{address}/removals", "", 200},
		{"GET", one + "/removals?before=1", "/accounts/{address}/removals", "", 200},
		{"GET", one + "/removals?limit=0", "/accounts/{address}/removals", "", 400},
		{"GET", one + "/removals?before=x", "/accounts/{address}/removals", "", 400},
		{"GET", "/accounts/nobody%40example.jp/removals", "/accounts/{address}/removals", "", 404},
		{"GET", "/accounts?owner=7", "/accounts", "", 200},
		{"GET", "/billing/2014-11?progress=true", "/billing/{month}", "", 200},
		{"POST", "/billing/2014-12/close", "/billing/{month}/close", "", 409},
		{"POST", "/billing/2014-11/close?progress=true", "/billing/{month}/close", "", 200},
		{"POST", "/billing/2014-11/close", "/billing/{month}/close", "", 409},
		{"POST", one + "/events", "/accounts/{address}/events", `{"kind":"cancelled","service":"inbound","at":"2014-11-10T00:00:00Z"}`, 200},
		{"POST", one + "/events", "/accounts/{address}/events", `{"kind":"subscribed","service":"outbound","at":"2014-11-10T00:00:00Z"}`, 200},
		{"GET", "/billing/2014-11/changes", "/billing/{month}/changes", "", 200},
		{"GET", "/billing/2014-13", "/billing/{month}", "", 400},
		{"GET", "/billing/2034-11", "/billing/{month}", "", 409},
		{"POST", "/import?dry_run=true&progress=true", "/import", "address,owner\nc@example.jp,7\n", 200},
		{"POST", "/import", "/import", "address,colour\nc@example.jp,7\n", 400},
		{"POST", "/owners/close", "", `{"owner":"7","at":"2015-01-31T00:00:00Z"}`, 200},
		{"POST", "/owners/close", "", `{"owner":"nobody"}`, 404},
		{"GET", "/export", "", "", 200},
		{"GET", "/export?format=xml", "/export", "", 400},
		{"GET", "/check", "", "", 200},
		{"POST", "/rules/reload", "", "", 200},
		{"POST", "/rules/rollback", "", "", 200},
		{"POST", "/rules/silence", "", `{"name":"x"}`, 200},
	} {
		if tt.route == "" {
			tt.route = tt.path
		}
		what := tt.method + " " + tt.path + " " + tt.body
		r, err := http.NewRequestWithContext(context.Background(), tt.method, "http://kiyome"+tt.path, strings.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if a.StatusCode != tt.status {
			t.Errorf("%s: %s, want %d", what, a.Status, tt.status)
		}
		op := at(spec, "paths", tt.route, strings.ToLower(tt.method))
		schema := at(spec, "components", "responses", "Fault", "content", "application/json", "schema")
		if a.StatusCode == 200 {
			content := at(op, "responses", "200", "content").(object)
			schema = at(content, "application/json", "schema")
			if schema == nil {
				schema = at(content, "application/x-ndjson", "schema")
			}
		}
		for values := json.NewDecoder(bufio.NewReader(a.Body)); ; {
			var v any
			if err := values.Decode(&v); err == io.EOF {
				break
			} else if err != nil {
				t.Errorf("%s: %v", what, err)
				break
			}
			if err := conforms(spec, schema, v, what); err != nil {
				t.Error(err)
			}
		}
		a.Body.Close()
	}
}
