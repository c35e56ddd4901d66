package scenario

import (
	"time"
)

// figures are how much is done in each scenario.
type figures struct {
	limit time.Duration // for one scenario

	tenants      int // that the load publishes to
	publications int // of the load that is broken into
	background   int // of the load that merely runs

	brokerKills, postgresKills, serviceKills int

	commitCuts, confirmCuts int

	frozen       time.Duration // the broker
	alarmBacklog int
	resizeDrops  int
	races        int
	terminations int
	createRounds int
	newTenants   int
	crashes      int
	stepCrashes  int // of creating and deleting, at named steps; 0 for all
	stepsAtOnce  int // in one crash, of a tenant each
	fleetTenants int
	fleetKills   int

	// Of deliveries to endpoints: tenants, how long each client of the load waits
	// between its calls, and what is done to the service meanwhile.
	deliveryTenants                                       int
	deliveryPause                                         time.Duration
	deliveryKills, deliveryDatabaseKills, deliveryFreezes int
	deliveryBacklog                                       int           // of each tenant in front of a fleet
	downBacklog                                           int           // of an endpoint that is down
	downFor                                               time.Duration // after the breaker has opened
	noisyRatio                                            float64       // of POST to stored, beside endpoints that hang
	hangingTenants                                        int           // of one owner, whose endpoints hang

	streamMessages, streamClients, streamRestless int
	crowd                                         int           // tenants that lose the broker at once
	crowdLimit                                    time.Duration // for their consumers to be back

	many int // tenants of one process that is started again

	leaderKills int           // of the one of three brokers that leads the most
	clusterLoad int           // publications meanwhile
	minority    time.Duration // for how long two of three are away

	cuts   int           // of the network between hosts
	cutFor time.Duration // about how long each lasts

	upgraded     int             // messages in each retry tier of an earlier version
	upgradeWaits []time.Duration // in the tiers; those of the last one are ten minutes otherwise
	vanish       bool            // wait until the tiers are deleted, which takes minutes

	others  int           // tenants that want to be left in peace
	measure time.Duration // one phase of measuring them
	// heavyRows is how many messages of a MiB are read in large pages.
	heavyRows int
	locked    time.Duration
	// greedyTenants is how many tenants one member may have, which makes and floods
	// them.
	greedyTenants int
	// backlogMiB is how much may wait in the queues of one owner, and diskMiB how much
	// more until the broker has too little room on its disk.
	backlogMiB, diskMiB int
	backlog             int
	drains              int // messages of a backlog whose end is foretold
	// quantile is which one of the latencies is compared. A handful of
	// samples has no 99th percentile worth the name.
	quantile float64
	// slack is by how much what was promised may be exceeded in time: the
	// short form runs wherever the tests run, beside other things, and is
	// about loss. The long form allows none.
	slack float64
}

// figuresFor returns those of the short form, or those of the long one, which are
// those of the promises.
func figuresFor(short bool) figures {
	if short {
		return figures{
			limit: 2 * time.Minute, tenants: 8, publications: 10_000, background: 1000,
			brokerKills: 1, postgresKills: 3, serviceKills: 3,
			commitCuts: 10, confirmCuts: 10,
			frozen: 8 * time.Second, alarmBacklog: 500, resizeDrops: 8, races: 60, terminations: 3,
			createRounds: 1, newTenants: 15, crashes: 3, stepCrashes: 2, stepsAtOnce: 6, fleetTenants: 24, fleetKills: 2, streamMessages: 4000, streamClients: 12, streamRestless: 3,
			crowd: 50, crowdLimit: 10 * time.Second, many: 300,
			leaderKills: 2, clusterLoad: 6000, minority: 15 * time.Second,
			cuts: 2, cutFor: 10 * time.Second,
			deliveryTenants: 6, deliveryPause: 400 * time.Millisecond, deliveryKills: 2, deliveryDatabaseKills: 1, deliveryFreezes: 1,
			deliveryBacklog: 1000, downBacklog: 3000, downFor: 4 * time.Second, noisyRatio: 2, hangingTenants: 4,
			upgraded: 100, upgradeWaits: seconds(2, 3, 5, 10, 30),
			others: 20, measure: 4 * time.Second, heavyRows: 120, locked: 6 * time.Second, greedyTenants: 60, backlogMiB: 8, diskMiB: 16, backlog: 3000, drains: 6000, quantile: 0.95, slack: 2.5,
		}
	}
	return figures{
		limit: 20 * time.Minute, tenants: 20, publications: 100_000, background: 5000,
		brokerKills: 5, postgresKills: 5, serviceKills: 10,
		commitCuts: 100, confirmCuts: 100,
		frozen: 30 * time.Second, alarmBacklog: 5000, resizeDrops: 100, races: 2000, terminations: 10,
		createRounds: 5, newTenants: 50, crashes: 20, stepsAtOnce: 1, fleetTenants: 60, fleetKills: 10, streamMessages: 100_000, streamClients: 50, streamRestless: 10,
		crowd: 1000, crowdLimit: 30 * time.Second, many: 3000,
		leaderKills: 5, clusterLoad: 50_000, minority: 45 * time.Second,
		cuts: 20, cutFor: 30 * time.Second,
		deliveryTenants: 20, deliveryPause: 100 * time.Millisecond, deliveryKills: 10, deliveryDatabaseKills: 5, deliveryFreezes: 2,
		deliveryBacklog: 4000, downBacklog: 100_000, downFor: time.Minute, noisyRatio: 1.2, hangingTenants: 20,
		upgraded: 1000, upgradeWaits: seconds(5, 10, 20, 60, 120), vanish: true,
		others: 50, measure: 30 * time.Second, heavyRows: 1000, locked: 60 * time.Second, greedyTenants: 400, backlogMiB: 128, diskMiB: 128, backlog: 100_000, drains: 20_000, quantile: 0.99, slack: 1,
	}
}

func seconds(numbers ...int) []time.Duration {
	times := make([]time.Duration, len(numbers))
	for i, n := range numbers {
		times[i] = time.Duration(n) * time.Second
	}
	return times
}
