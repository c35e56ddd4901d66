package shares

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"
)

var (
	// ErrShare means that the user's own share, or that of its owner, did not
	// become free in time.
	ErrShare = errors.New("the share is used up")
	// ErrAll means that others use all that there is, and nothing of it became
	// free in time.
	ErrAll = errors.New("everything is in use")
)

// User is who takes a part: one of the users that an owner has.
type User struct{ Owner, Name string }

// Options say what there is.
type Options struct {
	// Total is how much there is, PerOwner how much of it all users of one owner
	// may have at a time, and PerUser how much one user may; each at least 1.
	Total, PerOwner, PerUser int64
	// Wait is how long Take waits at most; 0 for as long as its ctx lives.
	Wait time.Duration
	// Queue is how many calls of one user may wait at a time, beyond which they
	// are refused at once; 0 for any number.
	Queue int
}

// Shares gives out parts. Who has to wait waits for its own kind: parts that
// become free go to the owners who wait in turn, and to the users of an owner
// in turn. It is safe for concurrent use.
type Shares struct {
	o Options

	mu      sync.Mutex // guards the rest; nothing waits while it is held
	used    int64
	owners  map[string]*owner
	waiting []*owner // those with users that wait, in the order of their turns
}

// owner and user are kept as long as they have or want something.
type owner struct {
	name    string
	used    int64
	users   map[string]*user
	waiting []*user // those with calls that wait, in the order of their turns
}

type user struct {
	owner *owner
	name  string
	used  int64
	calls []*call // in the order in which they came
}

// call is a Take that waits.
type call struct {
	amount  int64
	granted chan struct{}
}

// New returns Shares of which nothing is taken.
func New(o Options) *Shares {
	o.PerOwner = min(o.PerOwner, o.Total)
	o.PerUser = min(o.PerUser, o.PerOwner)
	if o.Queue == 0 {
		o.Queue = math.MaxInt
	}
	return &Shares{o: o, owners: make(map[string]*owner)}
}

// Take waits until there is so much for the user, and returns it, to be given
// back. An amount above the user's share waits for all of it. Errors are
// ErrShare, ErrAll and that of ctx.
func (s *Shares) Take(ctx context.Context, by User, amount int64) (*Part, error) {
	p, c := s.ask(by, amount, s.o.Queue)
	if c == nil {
		return nil, ErrShare
	}
	var err error
	var late <-chan time.Time
	if s.o.Wait > 0 {
		timer := time.NewTimer(s.o.Wait)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-c.granted:
	case <-late:
		err = s.giveUp(p.user, c)
	case <-ctx.Done():
		if err = s.giveUp(p.user, c); err != nil {
			err = ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// TryTake is Take that does not wait; nil when there is not so much at once.
func (s *Shares) TryTake(by User, amount int64) *Part {
	p, c := s.ask(by, amount, 1)
	if c == nil {
		return nil
	}
	if s.giveUp(p.user, c) != nil {
		return nil
	}
	return p
}

// Reserve takes an amount for an owner without waiting or a turn, to be given
// back with Release, in pieces if need be. It returns false and takes none when
// there is not so much, for all or for the owner.
func (s *Shares) Reserve(owner string, amount int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.user(User{Owner: owner})
	defer s.forget(u)
	if amount < 0 || amount > s.o.Total-s.used || !s.shareHas(u, amount) {
		return false
	}
	s.add(u, amount)
	return true
}

// Release gives back what was reserved for an owner.
func (s *Shares) Release(owner string, amount int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.user(User{Owner: owner})
	s.add(u, -amount)
	s.grant()
	s.forget(u)
}

// Used returns how much is taken.
func (s *Shares) Used() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used
}

// ask queues a call, which may be granted at once; no call when so many of the
// user wait already.
func (s *Shares) ask(by User, amount int64, queue int) (*Part, *call) {
	amount = max(0, min(amount, s.o.PerUser))
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.user(by)
	o := u.owner
	if len(u.calls) >= queue {
		return nil, nil
	}
	if len(o.waiting) == 0 {
		s.waiting = append(s.waiting, o)
	}
	if len(u.calls) == 0 {
		o.waiting = append(o.waiting, u)
	}
	c := &call{amount: amount, granted: make(chan struct{})}
	u.calls = append(u.calls, c)
	s.grant()
	return &Part{shares: s, user: u, amount: amount}, c
}

// user returns the user, new if need be. The mutex must be held.
func (s *Shares) user(by User) *user {
	o := s.owners[by.Owner]
	if o == nil {
		o = &owner{name: by.Owner, users: make(map[string]*user)}
		s.owners[by.Owner] = o
	}
	u := o.users[by.Name]
	if u == nil {
		u = &user{owner: o, name: by.Name}
		o.users[by.Name] = u
	}
	return u
}

// giveUp takes a call out of its queue and returns why there was nothing for
// it, or nil when it was granted meanwhile.
func (s *Shares) giveUp(u *user, c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-c.granted:
		return nil
	default:
	}
	err := ErrAll
	if !s.shareHas(u, c.amount) {
		err = ErrShare
	}
	u.calls = without(u.calls, c)
	if len(u.calls) == 0 {
		u.owner.waiting = without(u.owner.waiting, u)
	}
	if len(u.owner.waiting) == 0 {
		s.waiting = without(s.waiting, u.owner)
	}
	s.forget(u)
	s.grant() // those behind it may be smaller
	return err
}

// Part is what a user has taken. Its methods are safe for concurrent use.
type Part struct {
	shares *Shares
	user   *user
	amount int64 // guarded by the mutex of shares; 0 once it is given back
}

// Grow makes the part larger by an amount, or smaller by a negative one, without
// waiting: for what turns out to have another size than was thought. It may make
// more than there is, which keeps others from taking any until it is given back.
func (p *Part) Grow(by int64) {
	p.shares.mu.Lock()
	defer p.shares.mu.Unlock()
	p.shares.resize(p, max(0, p.amount+by))
}

// GiveBack gives the part back. It may be called more than once, and of no part
// at all.
func (p *Part) GiveBack() {
	if p == nil {
		return
	}
	p.shares.mu.Lock()
	defer p.shares.mu.Unlock()
	p.shares.resize(p, 0)
	p.shares.forget(p.user)
}

// resize changes a part. The mutex must be held.
func (s *Shares) resize(p *Part, amount int64) {
	change := amount - p.amount
	p.amount = amount
	s.add(p.user, change)
	s.grant()
}

// add counts what a user takes, or gives back. The mutex must be held.
func (s *Shares) add(u *user, amount int64) {
	s.used += amount
	u.owner.used += amount
	u.used += amount
}

// grant grants what can be, in turn. The mutex must be held.
func (s *Shares) grant() {
	for s.grantNext() {
	}
}

// grantNext grants the next call that can be, and reports whether there was one.
func (s *Shares) grantNext() bool {
	for _, o := range s.waiting {
		for _, u := range o.waiting {
			c := u.calls[0]
			if s.used+c.amount > s.o.Total || !s.shareHas(u, c.amount) {
				continue
			}
			s.add(u, c.amount)
			u.calls = without(u.calls, c)
			o.waiting = without(o.waiting, u)
			if len(u.calls) > 0 {
				o.waiting = append(o.waiting, u)
			}
			s.waiting = without(s.waiting, o)
			if len(o.waiting) > 0 {
				s.waiting = append(s.waiting, o)
			}
			close(c.granted)
			return true
		}
	}
	return false
}

// shareHas reports whether the shares of a user and its owner have so much
// left.
func (s *Shares) shareHas(u *user, amount int64) bool {
	return amount <= s.o.PerUser-u.used && amount <= s.o.PerOwner-u.owner.used
}

// forget forgets a user, and its owner, that have nothing and want nothing.
func (s *Shares) forget(u *user) {
	if u.used > 0 || len(u.calls) > 0 || u.owner.users[u.name] != u {
		return
	}
	delete(u.owner.users, u.name)
	if len(u.owner.users) == 0 {
		delete(s.owners, u.owner.name)
	}
}

// without returns the list without one of its elements.
func without[T comparable](list []T, gone T) []T {
	for i, element := range list {
		if element == gone {
			return append(list[:i], list[i+1:]...)
		}
	}
	return list
}
