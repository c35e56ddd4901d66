package postman

// What follows is the form of collections, version 2.1, and of environments, as far as it
// is used here: https://schema.postman.com.

type collection struct {
	Info     info       `json:"info"`
	Items    []item     `json:"item"`
	Auth     auth       `json:"auth"`
	Events   []event    `json:"event,omitempty"`
	Variable []variable `json:"variable,omitempty"`
}

type info struct {
	ID          string `json:"_postman_id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Schema      string `json:"schema"`
}

// item is a folder, or a request.
type item struct {
	ID          string   `json:"id,omitempty"`
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Events      []event  `json:"event,omitempty"`
	Request     *request `json:"request,omitempty"`
	Items       []item   `json:"item,omitempty"`
}

type request struct {
	Method      string   `json:"method"`
	Description string   `json:"description,omitempty"`
	Auth        *auth    `json:"auth,omitempty"`
	Headers     []field  `json:"header"`
	Body        *body    `json:"body,omitempty"`
	URL         location `json:"url"`
}

type location struct {
	Raw   string   `json:"raw"`
	Host  []string `json:"host"`
	Path  []string `json:"path"`
	Query []field  `json:"query,omitempty"`
}

// field is a header, or a parameter of the query.
type field struct {
	Key         string `json:"key"`
	Value       string `json:"value"`
	Description string `json:"description,omitempty"`
	Disabled    bool   `json:"disabled,omitempty"`
}

type body struct {
	Mode    string         `json:"mode"`
	Raw     string         `json:"raw"`
	Options map[string]any `json:"options"`
}

type auth struct {
	Type   string     `json:"type"`
	Bearer []variable `json:"bearer,omitempty"`
}

type event struct {
	Listen string `json:"listen"`
	Script script `json:"script"`
}

type script struct {
	Type string   `json:"type"`
	Exec []string `json:"exec"`
}

type variable struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	Type  string `json:"type"`
}

type environment struct {
	ID     string    `json:"id"`
	Name   string    `json:"name"`
	Values []setting `json:"values"`
	Scope  string    `json:"_postman_variable_scope"`
}

type setting struct {
	Key     string `json:"key"`
	Value   string `json:"value"`
	Type    string `json:"type"`
	Enabled bool   `json:"enabled"`
}
