package postman

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
)

// names says which variables of the environment take the place of ids; by parameter.
func names(path string) map[string]string {
	id := "tenant_id"
	for beginning, variable := range map[string]string{
		"/messages/": "message_id", "/dead-letters/": "dead_letter_id", "/dead-letters/jobs/": "job_id", "/users/": "user_id",
	} {
		if strings.HasPrefix(path, beginning) && (id == "tenant_id" || strings.HasPrefix(beginning, "/dead-letters/jobs")) {
			id = variable
		}
	}
	return map[string]string{
		"id": id, "X-Tenant-ID": "tenant_id", "tenant_id": "tenant_id", "endpoint_id": "endpoint_id", "replay_id": "replay_id", "key_id": "key_id",
	}
}

// operation is one of the description, with what it is called by.
type operation struct {
	*openapi3.Operation

	method, path string
}

// Collection returns the collection in JSON. Steps of the tour that the description has
// no operation for are an error.
func Collection(doc *openapi3.T) ([]byte, error) {
	operations := make(map[string]operation)
	for path, i := range doc.Paths.Map() {
		for method, o := range i.Operations() {
			operations[o.OperationID] = operation{o, method, path}
		}
	}
	c := collection{
		Info: info{
			ID: id("collection"), Name: "Lanekeeper", Description: introduction,
			Schema: "https://schema.getpostman.com/json/collection/v2.1.0/collection.json",
		},
		Auth: auth{Type: "bearer", Bearer: []variable{{"token", "{{token}}", "string"}}},
	}
	all := item{Name: "All calls", Description: "Every call of the API, by what it is about, with ids from the environment."}
	tour := item{Name: "Tour", Description: "From logging in to cleaning up. Each request uses what those before it have noted in the environment."}
	for _, f := range stations() {
		folder := item{Name: f.name, Description: f.text}
		for _, s := range f.steps {
			o, ok := operations[s.operation]
			if !ok {
				return nil, fmt.Errorf("the tour: there is no operation %s", s.operation)
			}
			r, err := s.item(f.name, &o)
			if err != nil {
				return nil, fmt.Errorf("the tour: %s: %w", s.operation, err)
			}
			folder.Items = append(folder.Items, r)
		}
		tour.Items = append(tour.Items, folder)
	}
	for _, tag := range doc.Tags {
		folder := item{Name: tag.Name, Description: tag.Description}
		for _, name := range slices.SortedFunc(maps.Keys(operations), func(a, b string) int {
			x, y := operations[a], operations[b]
			return strings.Compare(x.path+" "+x.method, y.path+" "+y.method)
		}) {
			o := operations[name]
			if !slices.Contains(o.Tags, tag.Name) {
				continue
			}
			r, err := o.request(nil, nil)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			folder.Items = append(folder.Items, item{ID: id("all " + name), Name: o.Summary, Request: r})
		}
		all.Items = append(all.Items, folder)
	}
	c.Items = []item{tour, all}
	return encode(c)
}

// Environment returns the environment in JSON.
func Environment() ([]byte, error) {
	e := environment{ID: id("environment"), Name: "Lanekeeper on this machine", Scope: "environment"}
	for _, s := range [][2]string{
		{"base_url", "http://localhost:8080/api"},
		{"email", ""},
		{"password", ""},
		{"token", ""},
		{"receiver_url", "https://example.com/hooks/orders"},
		{"tenant_id", ""},
		{"message_id", ""},
		{"endpoint_id", ""},
		{"dead_letter_id", ""},
		{"replay_id", ""},
		{"job_id", ""},
		{"key_id", ""},
		{"user_id", ""},
	} {
		kind := "default"
		if s[0] == "password" || s[0] == "token" {
			kind = "secret"
		}
		e.Values = append(e.Values, setting{s[0], s[1], kind, true})
	}
	return encode(e)
}

// request returns a request with the examples of the description. Fields that are not
// required are switched off, unless they say which tenant it is, or are given.
func (o *operation) request(given map[string]string, sent any) (*request, error) {
	variables := names(o.path)
	r := &request{Method: o.method, Description: o.Description, Headers: []field{}, URL: location{Host: []string{"{{base_url}}"}}}
	if o.Security != nil && len(*o.Security) == 0 {
		r.Auth = &auth{Type: "noauth"}
	}
	path := o.path
	for _, ref := range o.Parameters {
		p := ref.Value
		f := field{Key: p.Name, Value: fmt.Sprint(p.Example), Description: p.Description, Disabled: !p.Required && p.Name != "X-Tenant-ID"}
		if name, ok := variables[p.Name]; ok {
			f.Value = "{{" + name + "}}"
		}
		if value, ok := given[p.Name]; ok {
			f.Value, f.Disabled = value, false
		}
		switch p.In {
		case openapi3.ParameterInPath:
			path = strings.ReplaceAll(path, "{"+p.Name+"}", f.Value)
		case openapi3.ParameterInHeader:
			r.Headers = append(r.Headers, f)
		case openapi3.ParameterInQuery:
			r.URL.Query = append(r.URL.Query, f)
		}
	}
	r.URL.Path = strings.Split(strings.TrimPrefix(path, "/"), "/")
	r.URL.Raw = "{{base_url}}" + path
	separator := "?"
	for _, f := range r.URL.Query {
		if !f.Disabled {
			r.URL.Raw += separator + f.Key + "=" + f.Value
			separator = "&"
		}
	}
	if o.RequestBody == nil {
		return r, nil
	}
	if sent == nil {
		sent = o.RequestBody.Value.Content.Get("application/json").Example
	}
	raw, err := json.MarshalIndent(sent, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode body: %w", err)
	}
	text := strings.ReplaceAll(string(raw), "https://example.com/hooks/orders", "{{receiver_url}}")
	r.Headers = append(r.Headers, field{Key: "Content-Type", Value: "application/json"})
	r.Body = &body{Mode: "raw", Raw: text, Options: map[string]any{"raw": map[string]any{"language": "json"}}}
	return r, nil
}

// successes are the statuses with which the operation is done.
func (o *operation) successes() []string {
	var statuses []string
	for status := range o.Responses.Map() {
		if n, err := strconv.Atoi(status); err == nil && n < http.StatusMultipleChoices {
			statuses = append(statuses, status)
		}
	}
	slices.Sort(statuses)
	return statuses
}

// id returns an id that stays the same.
func id(name string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("lanekeeper postman "+name)).String()
}

func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return out.Bytes(), nil
}
