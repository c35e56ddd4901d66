package scenario

import (
	"fmt"

	"lanekeeper/tests/chaos/env"
	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/verify"
)

// scenarios returns all of them, in the order in which they run.
func scenarios(n figures) []scenario {
	p99 := fmt.Sprintf("%d other tenants at 1 message a second keep their p%.0f of POST to 202, POST to stored, GET /messages and of a login within 2x", n.others, 100*n.quantile)
	return []scenario{
		{
			name: "broker-kill", fault: fmt.Sprintf("kill -9 the broker %d times during %d publications to %d tenants", n.brokerKills, n.publications, n.tenants),
			must: "0 lost", run: brokerKill,
		},
		{
			name: "broker-restart-1000", fault: fmt.Sprintf("stop the broker, and kill -9 it, with %d consumers, back after %v", n.crowd, brokerOutage),
			must: fmt.Sprintf("all consumers back %v after its port is open, no CPU spin meanwhile, 0 lost", n.crowdLimit), long: true, run: brokerRestart,
		},
		{
			name: "postgres-kill", fault: fmt.Sprintf("kill -9 Postgres %d times, same load", n.postgresKills),
			must: "0 lost, 0 dead letters", run: postgresKill,
		},
		{
			name: "service-kill", fault: fmt.Sprintf("kill -9 the service %d times, same load", n.serviceKills),
			must: "0 lost", run: serviceKill,
		},
		{
			name: "commit-reply-cut", fault: fmt.Sprintf("cut the reply to COMMIT %d times", n.commitCuts),
			must: "0 lost, 0 twice", run: commitReplyCut,
		},
		{
			name: "confirm-cut", fault: fmt.Sprintf("cut the connection after publish and before the confirm %d times; the client retries with the key", n.confirmCuts),
			must: "exactly one row each", run: confirmCut,
		},
		{
			name: "broker-pause", fault: fmt.Sprintf("SIGSTOP the broker for %v", n.frozen),
			must: "no request over 6 s, then everything goes on", run: brokerPause,
		},
		{
			name: "memory-alarm", fault: "memory alarm of the broker (high watermark 0)",
			must: "503 with Retry-After at once, consuming goes on, recovers in 5 s", run: memoryAlarm,
		},
		{
			name: "resize-drops", fault: fmt.Sprintf("drop all AMQP connections during resizes %d times", n.resizeDrops),
			must: `0 lost, no "unknown delivery tag"`, run: resizeDrops,
		},
		{
			name: "queue-deleted", fault: "a queue deleted behind the back of the service",
			must: "0 lost, the queue is made again", run: queueDeleted,
		},
		{
			name: "publish-delete-race", fault: fmt.Sprintf("publish racing delete of the tenant %d times", n.races),
			must: "never 202 for a message that went nowhere", run: publishDeleteRace,
		},
		{
			name: "sigterm", fault: fmt.Sprintf("SIGTERM under load %d times", n.terminations),
			must: "exit within 20 s, 0 lost", run: sigterm,
		},
		{
			name: "broker-kill-during-create", fault: fmt.Sprintf("kill -9 the broker while %d tenants are being created %d times", n.newTenants, n.createRounds),
			must: "all converge within 30 s, no queue that hangs", run: brokerKillDuringCreate,
		},
		{
			name: "create-delete-crash", fault: fmt.Sprintf("kill -9 the service during creates and deletes %d times", n.crashes),
			must: "fully there or fully gone within 30 s of the next start", long: true, run: createDeleteCrash,
		},
		{
			name: "create-delete-steps", fault: "kill -9 the service at named steps of creating and deleting",
			must: "fully there or fully gone within 30 s of the next start, as the row said; the same key gives the same tenant", run: createDeleteSteps,
			exchanges: true,
		},
		{
			name: "fleet-kill", fault: fmt.Sprintf("kill -9 one of %d replicas with %d tenants, start it again, in turn, %d times", replicas, n.fleetTenants, n.fleetKills),
			must: "0 lost, 0 twice, consumed again within 15 s, no tenant worked for by two at a time", run: fleetKill,
		},
		{
			name: "deliveries-killed", fault: fmt.Sprintf("kill -9 one of %d replicas %d times and Postgres %d times, and freeze a replica %d times for %v, under deliveries of %d tenants to 3 endpoints each (no order, fifo, by key), some of which are changed, made and deleted meanwhile",
				deliverKeepers, n.deliveryKills, n.deliveryDatabaseKills, n.deliveryFreezes, frozenReplica, n.deliveryTenants),
			must: fmt.Sprintf("every message of a matching type at every endpoint, in order where that is asked for; again at most %d and what was under way for each time; 0 dead letters", verify.Unrecorded),
			run:  deliveriesKilled,
		},
		{
			name: "deliveries-fleet", fault: fmt.Sprintf("%d replicas deliver to endpoints of %d tenants; workers change from %d to %d to 1 while a replica is killed, comes back, and another one leaves",
				replicas, n.deliveryTenants, fewWorkers, manyWorkers),
			must: fmt.Sprintf("%v after a change no delivery begins above it, all workers are used, every message at its endpoint", resizeLimit), run: deliveriesFleet,
		},
		{
			name: "fleet-database-restart", fault: fmt.Sprintf("kill -9 Postgres with %d replicas running, back after %v", replicas, outage),
			must: "no tenant moves, 0 lost", long: true, run: fleetDatabaseRestart,
		},
		{
			name: "cluster-leader-kill", fault: fmt.Sprintf("kill -9 that one of %d brokers which leads the most queues, %d times", env.ClusterSize, n.leaderKills),
			must: "0 lost, requests within 6 s: 202, or 503 with Retry-After", run: clusterLeaderKill,
			environment: env.ClusterEnvironment(), extra: clusterExtra,
		},
		{
			name: "cluster-majority-kill", fault: fmt.Sprintf("kill -9 two of %d brokers, back after %v", env.ClusterSize, n.minority),
			must: "0 lost, no queue given up, requests within 6 s: 202, or 503 with Retry-After", long: true, run: clusterMajorityKill,
			environment: env.ClusterEnvironment(), extra: clusterExtra,
		},
		{
			name: "stream-redis-kill", fault: fmt.Sprintf("kill -9 Redis again and again while %d clients stream %d messages of %d writers, %d of them breaking off at random",
				n.streamClients, n.streamMessages, streamWriters, n.streamRestless),
			must: fmt.Sprintf("every client gets every message once and in order, %d other tenants' p%.0f of storing within 1.2x", n.others, 100*n.quantile), run: streamRedisKill,
		},
		{
			name: "partition-lock", fault: fmt.Sprintf("one partition locked for %v", n.locked),
			must: p99, run: partitionLock,
		},
		{
			name: "noisy-flood", fault: "one tenant flooding",
			must: p99, run: noisyFlood,
		},
		{
			name: "noisy-backlog", fault: fmt.Sprintf("one tenant with a backlog of %d", n.backlog),
			must: p99, run: noisyBacklog,
		},
		{
			name: "backlog-drains", fault: fmt.Sprintf("backlogs of %d messages, of one tenant, of %d at a time, of one that is being published to, and at a slow endpoint, and a database that takes about a millisecond for each message", n.drains, drainTogether),
			must: fmt.Sprintf("explain says when they are over, off by %.0f %% at most in the median", 100*drainMiss), run: backlogDrains, environment: localEndpoints(),
		},
		{
			name: "noisy-poison", fault: "one tenant whose messages are all poison",
			must: p99, run: noisyPoison,
		},
		{
			name: "noisy-endpoint", fault: fmt.Sprintf("one tenant with %d endpoints that hang, refuse at once, or answer after %v", noisyEndpoints, slowEndpoint),
			must: fmt.Sprintf("%d other tenants, and this one, keep their p%.0f of POST to stored within %.1fx, of POST to 202 and GET /messages within 2x", n.others, 100*n.quantile, n.noisyRatio),
			run:  noisyEndpoint, environment: localEndpoints(),
		},
		{
			name: "hanging-endpoints", fault: fmt.Sprintf("one owner with %d endpoints that hang for %v", n.hangingTenants*endpointsEach, hangingTimeout),
			must: p99 + ", and so does that of POST to the arrival at their endpoints", run: hangingEndpoints, environment: localEndpoints(),
		},
		{
			name: "endpoint-down", fault: fmt.Sprintf("an endpoint is away while %d messages are published, and %v longer, which is more than its schedule of %d s", n.downBacklog, n.downFor, downSteps),
			must: fmt.Sprintf("the breaker opens, 0 dead letters, one delivery tried each %v, then everything delivered, with the service below %d MiB", downProbes, downMemory>>20),
			run:  endpointDown, environment: localEndpoints("DELIVERY_PROBE_INTERVAL=" + downProbes.String()),
		},
		{
			name: "give-up-storm", fault: fmt.Sprintf("%d clients stop and start a tenant of their own, and make, change and delete an endpoint of it that hangs, without a pause", stormers),
			must: p99 + ", no connection lost", run: giveUpStorm, environment: localEndpoints(),
		},
		{
			name: "unreadable-header", fault: "somebody puts messages on one tenant's queues whose headers the client library cannot read",
			must: p99 + fmt.Sprintf(", no connection lost, all of them dead letters within %v, what is behind them stored", unreadableLimit), run: unreadableHeader,
		},
		{
			name: "slow-readers", fault: fmt.Sprintf("%d clients that ask for ten messages of 1 MB and read nothing", slowReaders),
			must: p99 + fmt.Sprintf("; the service takes at most %d MiB", slowMemory>>20), run: slowReadersScenario,
		},
		{
			name: "stuck-uploads", fault: fmt.Sprintf("%d clients that send all of a batch of 16 MiB but its last bytes", stuckUploads),
			must: p99 + fmt.Sprintf("; the service takes at most %d MiB", slowMemory>>20), run: stuckUploadsScenario,
		},
		{
			name: "cluster-partition", fault: fmt.Sprintf("%d brokers and %d replicas on as many hosts, and a database on another one, cut from each other %d times: halves, minority, one way, bridge", env.ClusterSize, replicas, n.cuts),
			must: fmt.Sprintf("0 lost, 0 twice, requests within 6 s: 202, or 503 with Retry-After; all as it was %v after each, no tenant stored for by two at a time", healLimit),
			run:  clusterPartition, extra: partitionExtra, network: true, long: true,
		},
		{
			name: "clock-jump", fault: fmt.Sprintf("the clock of one replica of %d jumps by an hour and a day, forwards and back", replicas),
			must: "its tokens, tickets and keys, and those of the others, are good everywhere; no tenant moves; 0 lost, 0 twice", run: clockJump, extra: skewExtra, long: true,
		},
		{
			name: "database-failover-sync", fault: fmt.Sprintf("kill -9 the primary under load, its synchronous standby cut off %v before, and promote that", fault.LagBehind),
			must: "0 lost, 0 twice, every tenant stores again within 30 s, requests within 6 s: 202, or 503 with Retry-After", run: failoverSynchronous,
		},
		{
			name: "database-failover-silent", fault: "the primary falls silent instead of ending, and its synchronous standby is promoted",
			must: "the same", run: failoverSilent, long: true,
		},
		{
			name: "database-failover-async", fault: fmt.Sprintf("kill -9 the primary under load, its asynchronous standby cut off %v before, and promote that", fault.LagBehind),
			must: "lost is only what the old primary alone had committed, and counted; everything else as with a synchronous one", run: failoverAsynchronous, long: true,
		},
		{
			name: "heavy-pages", fault: fmt.Sprintf("%d at a time read pages of 1,000 from a history of %d messages of 1 MiB of one tenant, which take 12 KB each in the store", heavyReaders, n.heavyRows),
			must: p99 + fmt.Sprintf(", and the service below %d MiB", heavyMemory>>20), run: heavyPages,
		},
		{
			name: "heavy-pages-owner", fault: fmt.Sprintf("the same from %d tenants of one owner", heavyOwner),
			must: p99 + fmt.Sprintf(", and the service below %d MiB", heavyMemory>>20), run: heavyOwnerPages,
		},
		{
			name: "many-tenants", fault: fmt.Sprintf("one member makes %d tenants, which is as many as it may have, and floods all of them", n.greedyTenants),
			must: p99 + "; one tenant more is refused with 429 quota_exceeded", run: manyTenants,
			environment: []string{fmt.Sprintf("LIMITS_TENANTS=%d", n.greedyTenants), "LIMITS_TENANTS_PER_MINUTE=0"},
		},
		{
			name: "backlog-disk", fault: fmt.Sprintf("one owner publishes to stopped consumers until %d MiB wait, and without that limit until the broker has too little room on its disk", n.backlogMiB),
			must: p99 + "; then 429 quota_exceeded; during the alarm the service is degraded, and GET /messages and a login stay within 2x", run: backlogDisk,
			environment: []string{fmt.Sprintf("LIMITS_BACKLOG_MIB=%d", n.backlogMiB), fmt.Sprintf("LIMITS_BACKLOG_MIB_PER_TENANT=%d", n.backlogMiB/2)},
		},
		{
			name: "idle-connections", fault: fmt.Sprintf("%d connections of %d addresses that do nothing, to a service with ulimit -n %d", idleConnections, idleAddresses, idleFiles),
			must: p99 + fmt.Sprintf("; at most %d stay open, the longest idle ones are closed first", idleAtMost), run: idleConnectionsScenario,
			files: idleFiles,
		},
		{
			name: "wrong-passwords", fault: fmt.Sprintf("%d clients guess the password of an account that is known, from one address and from %d", guessers, guessedFrom),
			must: p99 + fmt.Sprintf("; the right password from a fresh address is taken within %v, and never refused", freshLimit), run: wrongPasswords,
			environment: []string{"TRUSTED_PROXIES=" + trustedProxy},
		},
		{
			name: "login-clients", fault: fmt.Sprintf("%d clients log in again and again", loginClients),
			must: p99 + "; they get their turns", run: loginClientsScenario,
		},
		{
			name: "large-heads", fault: fmt.Sprintf("%d clients send requests with %d KB of headers", largeHeads, largeHeadSize/1000),
			must: p99 + fmt.Sprintf("; 431; the service takes at most %d MiB", headMemory>>20), run: largeHeadsScenario,
		},
		{
			name: "rotating-forwarded-for", fault: fmt.Sprintf("%d clients guess a password through nginx with the shipped configuration, and say in X-Forwarded-For each time that they are another one", guessers),
			must: p99 + fmt.Sprintf("; they count as one address, which may guess %d times, and once more after each %v; the right password from a fresh address is taken within %v, and never refused", pairGuesses, pairStep, freshLimit),
			run:  rotatingForwardedFor, environment: []string{"TRUSTED_PROXIES=" + trustedProxy},
		},
		{
			name: "crowd", fault: fmt.Sprintf("SIGTERM and start one process with %d tenants %d times, all but the first time while others keep the broker busy", n.many, crowdStarts),
			must: fmt.Sprintf("all consumers run %v after the start, no connection lost, no request over 6 s, 0 lost", crowdStartLimit), run: crowd, long: true,
		},
		{
			name: "upgrade", fault: fmt.Sprintf("kill -9 the last version with retry tiers, with %d messages in each of its %d tiers and %d stored and not acknowledged, and start this one",
				n.upgraded, len(retryTiers()), n.upgraded),
			must: "0 lost, every message at its endpoint, no dead letter, the tiers empty and gone; this version does not start before the other has ended", run: upgrade, extra: upgradeExtra, long: true,
		},
		{
			name: "planted-early-ack", bug: "ack-before-commit", fault: "kill -9 the service, which acknowledges before it commits",
			must: "the checker notices", run: plantedEarlyAck,
		},
		{
			name: "planted-no-mandatory", bug: "no-mandatory", fault: "a queue deleted behind the back of the service, which publishes without mandatory",
			must: "the checker notices", run: queueDeleted,
		},
		{
			name: "planted-stale-acks", bug: "stale-acks", fault: "drop AMQP connections of the service, which sends acks of an old session",
			must: "the checker notices", run: plantedStaleAcks,
		},
		{
			name: "planted-settle-early", bug: "settle-before-answer", fault: "kill -9 a replica, which settles deliveries before they are answered",
			must: "the checker notices", run: plantedDeliveries,
		},
		{
			name: "planted-two-claims", bug: "claim-at-once", fault: "as deliveries-fleet, with replicas that claim tenants for which another one still delivers",
			must: "the checker notices", run: deliveriesFleet,
		},
		{
			name: "planted-no-row", bug: "cursor-without-row", fault: "endpoints refuse some messages once, and cursors pass these without a row",
			must: "the checker notices", run: plantedDeliveries,
		},
		{
			name: "planted-partition", bug: "ack-before-commit", fault: "the database cut off from the service, which acknowledges before it commits",
			must: "the checker notices", run: plantedPartition, extra: partitionExtra, network: true, long: true,
		},
		{
			name: "planted-asynchronous", bug: "synchronous_standby_names missing", fault: "as database-failover-sync, with replication that is not synchronous",
			must: "the checker notices", run: plantedFailover, long: true,
		},
	}
}
