package server

import "lanekeeper/domain"

// Decorators put something in front of ports of the service: of the store that
// the writer appends to, of the publisher, and of the subscriber. Those that
// are nil change nothing.
type Decorators struct {
	Messages   func(domain.MessageRepository) domain.MessageRepository
	Publisher  func(domain.Publisher) domain.Publisher
	Subscriber func(domain.Subscriber) domain.Subscriber
}

// Decorate makes Run put d in front of the service's ports. It exists for
// tests that plant a bug and see whether it is noticed. Call it before Run.
func (s *Server) Decorate(d Decorators) { s.decorators = d }

// decorated returns the port with its decorator in front of it, if it has one.
func decorated[T any](port T, decorate func(T) T) T {
	if decorate == nil {
		return port
	}
	return decorate(port)
}
