package server

import (
	"lanekeeper/pkg/metrics"
	"lanekeeper/pkg/version"
	"lanekeeper/service/overview"
)

// newOverview builds what says how all tenants and replicas do.
func newOverview(p *parts) *overview.Service {
	return overview.New(overview.Options{
		Repository: p.store, Lookup: p.directory.Lookup, Depth: p.broker.QueueDepth, Ready: p.readiness.check,
		Totals: func() overview.Totals { return totals(p.metrics.Totals()) },
		Limits: ownerLimits(p.config), MaxBacklog: int64(p.config.MaxBacklog),
		Version: version.Read().Version, OpenMode: p.config.OpenMode(), Now: p.clock.Now, Log: p.log,
	})
}

// totals returns what the metrics have counted.
func totals(t metrics.Totals) overview.Totals {
	return overview.Totals{
		Accepted: t.Accepted, Stored: t.Stored, Delivered: t.Delivered,
		Publish: overview.Distribution(t.Publish), EndToEnd: overview.Distribution(t.EndToEnd),
	}
}
