package demo

import (
	"fmt"
	"strconv"

	"lanekeeper/pkg/client"
)

const (
	// idPrefix begins the external ids of the demo's tenants, by which a later demo finds
	// those that an earlier one left.
	idPrefix = "lanekeeper-demo-"
	// poisonType is the type of messages that no receiver will ever take.
	poisonType = "order.damaged"
	// poisonEvery is how many messages of a tenant there are for one that is poison.
	poisonEvery = 40
)

// shop is a tenant of the demo.
type shop struct {
	id, name, about string
	// share is how many of ten messages it gets.
	share   int
	workers int
	// poisoned: some of its messages are poison.
	poisoned  bool
	endpoints []branch
}

// branch is an endpoint of a shop.
type branch struct {
	id, about string
	behavior  behavior
	settings  client.CreateEndpoint
}

// shops returns the tenants, whose shares are ten together.
func shops() []shop {
	return []shop{
		{
			id: "bookshop", name: "Demo Bookshop", about: "takes everything, but accounting refuses damaged orders for good",
			share: 6, workers: 3, poisoned: true,
			endpoints: []branch{
				{id: "warehouse", about: "takes everything", behavior: steady},
				{id: "accounting", about: "refuses damaged orders for good: dead letters", behavior: strict, settings: client.CreateEndpoint{
					Retry: &client.Retry{Schedule: []string{"1s", "5s"}, Final: []int{statusRefused}},
				}},
			},
		},
		{
			id: "bakery", name: "Demo Bakery", about: "its van fails now and then, and is away for 15 seconds of each minute",
			share: 3, workers: 3,
			endpoints: []branch{
				{id: "van", about: "fails now and then, and is away for 15 seconds of each minute", behavior: flaky, settings: client.CreateEndpoint{
					Retry: &client.Retry{Schedule: []string{"1s", "2s", "5s", "10s", "30s", "1m", "5m"}},
				}},
			},
		},
		{
			id: "bicycles", name: "Demo Bicycles", about: "its workshop is slow, two messages at a time",
			share: 1, workers: 2,
			endpoints: []branch{
				{id: "workshop", about: "slow, two messages at a time, in order", behavior: slow, settings: client.CreateEndpoint{Concurrency: 2, Ordering: "key"}},
			},
		},
	}
}

// order is the payload of a message.
type order struct {
	Order    int64  `json:"order"`
	Customer string `json:"customer"`
	Item     string `json:"item"`
	Quantity int    `json:"quantity"`
	Cents    int64  `json:"cents"`
}

// message returns message n of a shop, from 1: of an order that is placed, paid and
// sent.
func (s *shop) message(n int64) (client.NewMessage, error) {
	steps := []string{"order.placed", "order.paid", "order.sent"}
	const customers, prices, fewest = 97, 9000, 500
	number := (n - 1) / int64(len(steps))
	kind := steps[(n-1)%int64(len(steps))]
	if s.poisoned && n%poisonEvery == 0 {
		kind = poisonType
	}
	customer := "customer-" + strconv.FormatInt(number%customers, 10)
	payload, err := client.JSON(order{
		Order: number + 1, Customer: customer, Item: s.id + "-" + strconv.FormatInt(number%10, 10),
		Quantity: int(number%3) + 1, Cents: fewest + number*number%prices,
	})
	if err != nil {
		return client.NewMessage{}, fmt.Errorf("make a message: %w", err)
	}
	return client.NewMessage{Payload: payload, Type: kind, OrderingKey: customer, Headers: map[string]string{"source": "demo"}}, nil
}
