package ledger

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
)

// State is what a client knows of an attempt.
type State string

// What a client knows of an attempt.
const (
	Accepted State = "accepted"
	Refused  State = "refused" // the answer says that it was not taken
	Unknown  State = "unknown" // no answer, or one that leaves it open
)

// Outcome is what came of sending an attempt once.
type Outcome struct {
	State State
	ID    string // of an accepted message
	Why   string // of any other
}

// Attempt is one message that a client wants stored. It may be sent several
// times under its key; its payload is like no other's.
type Attempt struct {
	Number  int64
	Tenant  string
	Key     string // none for one that is sent once only
	Payload []byte
	Hash    string
	Poison  bool // can only become a dead letter
	// Type and OrderingKey go along with the payload; "" for none. The file does
	// not have them.
	Type, OrderingKey string
	// What Read found out.
	State State
	ID    string
	Why   string
}

// Ledger is the append-only file of all attempts of a scenario. A line goes
// to the operating system before the message does, so that it is there
// whatever is killed. Safe for concurrent use.
type Ledger struct {
	Path string

	mu   sync.Mutex
	file *os.File
	last int64
	err  error // the first failure to write
}

// New makes the file, which must not be there.
func New(path string) (*Ledger, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the ledger: %w", err)
	}
	return &Ledger{Path: path, file: file}, nil
}

// Open writes down n attempts that are about to be sent.
func (l *Ledger) Open(tenant string, n int, keyed bool) []*Attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	attempts := make([]*Attempt, n)
	var lines strings.Builder
	for i := range attempts {
		l.last++
		a := &Attempt{Number: l.last, Tenant: tenant}
		if keyed {
			a.Key = "key-" + strconv.FormatInt(l.last, 10)
		}
		a.Payload = fmt.Appendf(nil, `{"text":"order %d of somebody, with <tags> & \"quotes\"","attempt":%d,"lines":[1,2.50,null,true]}`, l.last*7919, l.last)
		a.Hash = HashOf(a.Payload)
		a.line(&lines)
		attempts[i] = a
	}
	l.write(lines.String())
	return attempts
}

// Foreign writes down a message that does not go through the service's API.
func (l *Ledger) Foreign(a *Attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	a.Number = l.last
	if !a.Poison {
		a.Payload = fmt.Appendf(nil, `{"attempt":%d,"foreign":true}`, l.last)
		a.Hash = HashOf(a.Payload)
	}
	var line strings.Builder
	a.line(&line)
	l.write(line.String())
}

func (a *Attempt) line(to *strings.Builder) {
	key, hash := a.Key, a.Hash
	if key == "" {
		key = "-"
	}
	if a.Poison {
		hash = "poison"
	}
	fmt.Fprintf(to, "try %d %s %s %s\n", a.Number, a.Tenant, key, hash)
}

// Close writes down what came of sending the attempts.
func (l *Ledger) Close(attempts []*Attempt, outcomes []Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines strings.Builder
	for i, o := range outcomes {
		detail := o.ID
		if o.State != Accepted {
			detail = strings.ReplaceAll(o.Why, " ", "_")
		}
		fmt.Fprintf(&lines, "end %d %s %s\n", attempts[i].Number, o.State, detail)
	}
	l.write(lines.String())
}

func (l *Ledger) write(lines string) {
	if _, err := l.file.WriteString(lines); err != nil && l.err == nil {
		l.err = err
	}
}

// Finish closes the file and returns what went wrong with it.
func (l *Ledger) Finish() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := errors.Join(l.err, l.file.Close()); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

var errLedger = errors.New("the ledger cannot be read")

// Read reads the attempts back from disk. One that was accepted once is
// accepted; one that was refused every time is refused; any other is unknown.
func Read(path string) (map[int64]*Attempt, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	defer file.Close()
	attempts := make(map[int64]*Attempt)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			return nil, fmt.Errorf("%w: %q", errLedger, lines.Text())
		}
		number, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: %q", errLedger, lines.Text())
		}
		a := attempts[number]
		switch {
		case fields[0] == "try" && a == nil && len(fields) == 5:
			attempts[number] = &Attempt{Number: number, Tenant: fields[2], Key: fields[3], Hash: fields[4], Poison: fields[4] == "poison"}
		case fields[0] == "end" && a != nil:
			a.learn(State(fields[2]), fields[3])
		default:
			return nil, fmt.Errorf("%w: %q", errLedger, lines.Text())
		}
	}
	for _, a := range attempts {
		if a.State == "" {
			a.State, a.Why = Unknown, "given up"
		}
	}
	return attempts, lines.Err()
}

func (a *Attempt) learn(s State, detail string) {
	switch {
	case s == Accepted:
		if a.State == Accepted && a.ID != detail {
			a.Why = "accepted under two ids"
		}
		a.State, a.ID = s, detail
	case a.State == "":
		a.State, a.Why = s, detail
	case a.State == Refused && s == Unknown:
		a.State, a.Why = s, detail
	}
}

// HashOf returns the hash of a JSON document that does not depend on white
// space and the order of keys, which Postgres does not keep.
func HashOf(document []byte) string {
	var value any
	if err := json.Unmarshal(document, &value); err != nil {
		return "not JSON: " + err.Error()
	}
	canonical, err := json.Marshal(value)
	if err != nil {
		return "not JSON: " + err.Error()
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}

// OpenLarge is Open for messages of a size.
func (l *Ledger) OpenLarge(tenant string, n, size int) []*Attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	attempts := make([]*Attempt, n)
	var lines strings.Builder
	for i := range attempts {
		l.last++
		a := &Attempt{Number: l.last, Tenant: tenant}
		a.Payload = fmt.Appendf(nil, `{"attempt":%d,"text":%q}`, l.last, strings.Repeat("x", size))
		a.Hash = HashOf(a.Payload)
		a.line(&lines)
		attempts[i] = a
	}
	l.write(lines.String())
	return attempts
}
