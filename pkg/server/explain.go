package server

import (
	"lanekeeper/service/broker"
	"lanekeeper/service/explain"
)

// newExplain returns what says why messages stand.
func newExplain(p *parts) (*explain.Service, error) {
	policies, err := shortenedQueuesOf(p.config)
	if err != nil {
		return nil, err
	}
	return explain.New(explain.Options{
		Tenant: p.directory.Lookup, Facts: p.store, Database: p.store, Broker: p.broker, Replica: p.replica, Consumer: p.consumers.StatusOf, Here: p.manager.Status,
		State: func() explain.BrokerState {
			state := p.broker.State()
			return explain.BrokerState{Away: state == broker.Away, Blocked: state == broker.Blocked}
		},
		Refusal: p.messages.Refusal, Policies: policies, ProbeEvery: p.config.Delivery.ProbeInterval, Now: p.clock.Now, Log: p.log,
	}), nil
}
