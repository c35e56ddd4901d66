package server

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/pprof"

	"lanekeeper/controller/middleware"
	"lanekeeper/model"
)

// adminHandler answers those who look inside: metrics, and the profiles of
// net/http/pprof. It asks for no token: who may connect is for admin_host, the
// network and its policies to say. On the loopback interface the Host must name
// this machine, or a web page could read it by DNS rebinding.
func adminHandler(metrics http.Handler, at net.Addr) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuseAdmin(w, r, http.StatusNotFound, "route_not_found", "Here are /metrics and /debug/pprof/.")
	})
	if !middleware.IsLoopback(at.String()) {
		return mux
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !middleware.IsLoopback(r.Host) {
			refuseAdmin(w, r, http.StatusForbidden, "host_not_allowed", "Only requests to localhost are answered here.")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func refuseAdmin(w http.ResponseWriter, r *http.Request, status int, code, detail string) {
	body, err := json.Marshal(model.Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail, Instance: r.URL.Path,
	})
	if err != nil { // strings and numbers always marshal
		body = nil
	}
	w.Header().Set("Content-Type", model.ProblemContentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
