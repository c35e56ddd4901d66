package main

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/server"
)

// steps knows where to stop. A step is "before:" or "after:" and the name of a
// call; changes of the status are "ChangeTenant(active)" and so on. A tenant
// that has arrived is never touched again: the next call for it stops, too.
type steps struct {
	wanted   map[string]string // by the tenants' names
	arrivals io.Writer

	mu      sync.Mutex
	begun   map[uuid.UUID]string // names of those that are being created or deleted
	arrived map[uuid.UUID]bool
}

func newSteps(wanted map[string]string, arrivals io.Writer) *steps {
	return &steps{wanted: wanted, arrivals: arrivals, begun: make(map[uuid.UUID]string), arrived: make(map[uuid.UUID]bool)}
}

func (s *steps) decorators() server.Decorators {
	return server.Decorators{
		Tenants:    func(t domain.TenantRepository) domain.TenantRepository { return &tenants{t, s} },
		Partitions: func(p domain.PartitionRepository) domain.PartitionRepository { return &partitions{p, s} },
		Topology:   func(t domain.Topology) domain.Topology { return &topology{t, s} },
		Consumers:  func(c domain.ConsumerManager) domain.ConsumerManager { return &consumers{c, s} },
	}
}

// begin notes that a tenant is being created or deleted. No step counts before
// that.
func (s *steps) begin(t *domain.Tenant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun[t.ID] = t.Name
}

// at does not return if the tenant has arrived.
func (s *steps) at(id uuid.UUID, step string) {
	if s.stops(id, step) {
		select {} // until the process is killed
	}
}

func (s *steps) stops(id uuid.UUID, step string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.arrived[id] {
		return true
	}
	name, begun := s.begun[id]
	if !begun || s.wanted[name] != step {
		return false
	}
	s.arrived[id] = true
	if _, err := fmt.Fprintln(s.arrivals, name); err != nil {
		fmt.Fprintln(os.Stderr, "steps: arrival not noted:", err) // noticed by its absence
	}
	return true
}

// around makes a call, with a step before it and one after its success.
func (s *steps) around(id uuid.UUID, name string, call func() error) error {
	s.at(id, "before:"+name)
	err := call()
	if err == nil {
		s.at(id, "after:"+name)
	}
	return err
}
