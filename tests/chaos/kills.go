package main

import (
	"context"
	"fmt"
	"time"
)

// recoverLimit is how long after a server is back publishing may take.
const recoverLimit = 30 * time.Second

// underLoad runs fault times times, spread evenly over the load of the
// scenario, and has everything checked.
func (st *stage) underLoad(ctx context.Context, times, publications int, fault func(ctx context.Context, l *load) error) error {
	if err := st.bootDirect(ctx, st.figures.tenants); err != nil {
		return err
	}
	return st.breakLoad(ctx, times, publications, fault)
}

func (st *stage) breakLoad(ctx context.Context, times, publications int, fault func(ctx context.Context, l *load) error) error {
	begun := time.Now()
	loadCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	pause := time.Duration(0)
	if publications <= st.background {
		pause = backgroundPause
	}
	l := st.startLoad(loadCtx, pause)
	defer func() { cancel(); l.stop() }()
	for i := range times {
		if err := l.awaitAccepted(ctx, (i+1)*publications/(times+1)); err != nil {
			return err
		}
		if err := fault(ctx, l); err != nil {
			return fmt.Errorf("fault %d of %d: %w", i+1, times, err)
		}
	}
	if err := l.awaitAccepted(ctx, publications); err != nil {
		return err
	}
	l.stop()
	st.show("load", "%d accepted in %.0f s", l.accepted.Load(), time.Since(begun).Seconds())
	return st.check(ctx)
}

func brokerKill(ctx context.Context, st *stage) error {
	var longest time.Duration
	if err := st.bootDirect(ctx, st.figures.tenants); err != nil {
		return err
	}
	// What becomes of queues that are younger than a second when the broker
	// is killed is the matter of brokerKillDuringCreate.
	rest(ctx, 2*time.Second)
	err := st.breakLoad(ctx, st.brokerKills, st.publications, func(ctx context.Context, l *load) error {
		st.servers.rabbitmq.Kill()
		if err := st.servers.rabbitmq.Start(ctx); err != nil {
			return fmt.Errorf("start the broker again: %w", err)
		}
		took, err := l.awaitGood(ctx)
		longest = max(longest, took)
		return err
	})
	st.show("accepted again after", "%.1f s of the broker's return at most", longest.Seconds())
	return err
}

func postgresKill(ctx context.Context, st *stage) error {
	var longest time.Duration
	err := st.underLoad(ctx, st.postgresKills, st.publications, func(ctx context.Context, _ *load) error {
		st.servers.postgres.Kill()
		// Publishing goes on meanwhile.
		if !rest(ctx, 500*time.Millisecond) {
			return ctx.Err()
		}
		if err := st.servers.postgres.Start(ctx); err != nil {
			return fmt.Errorf("start the database again: %w", err)
		}
		took, err := st.awaitStoring(ctx)
		longest = max(longest, took)
		return err
	})
	st.show("storing again after", "%.1f s of the database's return at most", longest.Seconds())
	if longest > storingLimit {
		st.fail("storing took %v to begin again, %v are promised", longest, storingLimit)
	}
	return err
}

func serviceKill(ctx context.Context, st *stage) error {
	return st.underLoad(ctx, st.serviceKills, st.publications, func(ctx context.Context, l *load) error {
		st.service.kill()
		if err := st.service.start(ctx); err != nil {
			return err
		}
		_, err := l.awaitGood(ctx)
		return err
	})
}

// plantedEarlyAck is serviceKill with figures that suffice to see it.
func plantedEarlyAck(ctx context.Context, st *stage) error {
	return st.underLoad(ctx, 2, 2000, func(ctx context.Context, _ *load) error {
		st.service.kill()
		return st.service.start(ctx)
	})
}

func sigterm(ctx context.Context, st *stage) error {
	var longest time.Duration
	err := st.underLoad(ctx, st.terminations, st.publications, func(ctx context.Context, l *load) error {
		took, err := st.service.terminate(ctx)
		if err != nil {
			return err
		}
		longest = max(longest, took)
		if err := st.service.start(ctx); err != nil {
			return err
		}
		_, err = l.awaitGood(ctx)
		return err
	})
	st.show("longest exit", "%.1f s, code 0", longest.Seconds())
	return err
}
