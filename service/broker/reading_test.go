package broker

import "lanekeeper/domain"

// Read is a subscription that is read into a channel.
type Read struct {
	domain.Subscription
	deliveries <-chan domain.Delivery
}

// roomForTests is more than the prefetch of any test's subscription.
const roomForTests = 1000

// Reading has a subscription read, if there is one.
func Reading(sub domain.Subscription, err error) (*Read, error) {
	if err != nil {
		return nil, err
	}
	return &Read{sub, domain.Deliveries(sub, roomForTests)}, nil
}

// Deliveries returns the channel.
func (r *Read) Deliveries() <-chan domain.Delivery { return r.deliveries }
