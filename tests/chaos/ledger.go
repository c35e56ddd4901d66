package main

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

// state is what a client knows of an attempt.
type state string

const (
	accepted202 state = "accepted"
	refused     state = "refused" // the answer says that it was not taken
	unknown     state = "unknown" // no answer, or one that leaves it open
)

// outcome is what came of sending an attempt once.
type outcome struct {
	state state
	id    string // of an accepted message
	why   string // of any other
}

// attempt is one message that a client wants stored. It may be sent several
// times under its key; its payload is like no other's.
type attempt struct {
	number  int64
	tenant  string
	key     string // none for one that is sent once only
	payload []byte
	hash    string
	poison  bool // can only become a dead letter
	// What readLedger found out.
	state state
	id    string
	why   string
}

// ledger is the append-only file of all attempts of a scenario. A line goes
// to the operating system before the message does, so that it is there
// whatever becomes of anyone. Safe for concurrent use.
type ledger struct {
	path string

	mu   sync.Mutex
	file *os.File
	last int64
	err  error // the first failure to write
}

func newLedger(path string) (*ledger, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the ledger: %w", err)
	}
	return &ledger{path: path, file: file}, nil
}

// open writes down n attempts that are about to be sent.
func (l *ledger) open(tenant string, n int, keyed bool) []*attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	attempts := make([]*attempt, n)
	var lines strings.Builder
	for i := range attempts {
		l.last++
		a := &attempt{number: l.last, tenant: tenant}
		if keyed {
			a.key = "key-" + strconv.FormatInt(l.last, 10)
		}
		a.payload = fmt.Appendf(nil, `{"text":"order %d of somebody, with <tags> & \"quotes\"","attempt":%d,"lines":[1,2.50,null,true]}`, l.last*7919, l.last)
		a.hash = hashOf(a.payload)
		a.line(&lines)
		attempts[i] = a
	}
	l.write(lines.String())
	return attempts
}

// foreign writes down a message that does not go through the service's API.
func (l *ledger) foreign(a *attempt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	a.number = l.last
	if !a.poison {
		a.payload = fmt.Appendf(nil, `{"attempt":%d,"foreign":true}`, l.last)
		a.hash = hashOf(a.payload)
	}
	var line strings.Builder
	a.line(&line)
	l.write(line.String())
}

func (a *attempt) line(to *strings.Builder) {
	key, hash := a.key, a.hash
	if key == "" {
		key = "-"
	}
	if a.poison {
		hash = "poison"
	}
	fmt.Fprintf(to, "try %d %s %s %s\n", a.number, a.tenant, key, hash)
}

// close writes down what came of sending the attempts.
func (l *ledger) close(attempts []*attempt, outcomes []outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines strings.Builder
	for i, o := range outcomes {
		detail := o.id
		if o.state != accepted202 {
			detail = strings.ReplaceAll(o.why, " ", "_")
		}
		fmt.Fprintf(&lines, "end %d %s %s\n", attempts[i].number, o.state, detail)
	}
	l.write(lines.String())
}

func (l *ledger) write(lines string) {
	if _, err := l.file.WriteString(lines); err != nil && l.err == nil {
		l.err = err
	}
}

// finish closes the file and returns what went wrong with it.
func (l *ledger) finish() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := errors.Join(l.err, l.file.Close()); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

var errLedger = errors.New("the ledger cannot be read")

// readLedger reads the attempts back from disk. One that was accepted once is
// accepted; one that was refused every time is refused; any other is unknown.
func readLedger(path string) (map[int64]*attempt, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	defer file.Close()
	attempts := make(map[int64]*attempt)
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
			attempts[number] = &attempt{number: number, tenant: fields[2], key: fields[3], hash: fields[4], poison: fields[4] == "poison"}
		case fields[0] == "end" && a != nil:
			a.learn(state(fields[2]), fields[3])
		default:
			return nil, fmt.Errorf("%w: %q", errLedger, lines.Text())
		}
	}
	for _, a := range attempts {
		if a.state == "" {
			a.state, a.why = unknown, "given up"
		}
	}
	return attempts, lines.Err()
}

func (a *attempt) learn(s state, detail string) {
	switch {
	case s == accepted202:
		if a.state == accepted202 && a.id != detail {
			a.why = "accepted under two ids"
		}
		a.state, a.id = s, detail
	case a.state == "":
		a.state, a.why = s, detail
	case a.state == refused && s == unknown:
		a.state, a.why = s, detail
	}
}

// hashOf returns the hash of a JSON document that does not depend on white
// space and the order of keys, which Postgres does not keep.
func hashOf(document []byte) string {
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
