package scenario

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"

	"lanekeeper/tests/proxy"
)

// step is one moment of creating or deleting a tenant.
type step struct {
	number  int
	deletes bool
	// at is a step of the program steps, where it stops dead. Without one,
	// frame finds the message before which the connection is held, on the way
	// between the service and the database or, if broker, the broker.
	at     string
	frame  func(message []byte, to proxy.Side) bool
	broker bool
	words  string // for frames
	// detaching steps are when the detachment of the partition waits for a
	// transaction that has read it.
	detaching bool
	// row is the tenant's status at that moment; empty without a row.
	row string
	// waiting tenants have messages in their queue when they are deleted.
	waiting bool
	// erasing steps are among those that one tenant at a time can be at.
	erasing bool
}

func (s *step) name() string {
	verb := "create"
	if s.deletes {
		verb = "delete"
	}
	return verb + " " + s.at + s.words
}

// there reports whether a tenant that was interrupted has to be there in the
// end, else gone.
func (s *step) there() bool { return s.row == "provisioning" || s.row == "active" }

// single steps can only be waited for one at a time.
func (s *step) single() bool { return s.at == "" }

// steps returns all of them, in their order.
func steps() []step {
	all := append(createSteps(), deleteSteps()...)
	for i := range all {
		all[i].number = i
	}
	return all
}

func createSteps() []step {
	const provisioning, active = "provisioning", "active"
	return []step{
		{at: "before:InsertTenant"},
		{at: "after:InsertTenant", row: provisioning},
		{at: "before:CreatePartition", row: provisioning},
		{words: "before CREATE TABLE", frame: statement("CREATE TABLE"), row: provisioning},
		{words: "after CREATE TABLE", frame: completed("CREATE TABLE"), row: provisioning},
		{words: "before ATTACH PARTITION", frame: statement("ATTACH PARTITION"), row: provisioning},
		{words: "after ATTACH PARTITION", frame: completed("ALTER TABLE"), row: provisioning},
		{words: "before INSERT INTO tenant_streams", frame: statement("INSERT INTO tenant_streams"), row: provisioning},
		{at: "after:CreatePartition", row: provisioning},
		{at: "before:DeclareQueues", row: provisioning},
		{words: "before queue.declare of the dead-letter queue", frame: request(proxy.QueueDeclare, "_dlq"), broker: true, row: provisioning},
		{words: "before queue.bind of the dead-letter queue", frame: request(proxy.QueueBind, "_dlq"), broker: true, row: provisioning},
		{words: "before queue.declare of the queue", frame: request(proxy.QueueDeclare, "_queue"), broker: true, row: provisioning},
		{words: "before exchange.declare", frame: request(proxy.ExchangeDeclare, "_exchange"), broker: true, row: provisioning},
		{words: "before queue.bind of the queue", frame: request(proxy.QueueBind, "_queue"), broker: true, row: provisioning},
		{words: "before the first basic.consume", frame: request(proxy.BasicConsume, "_queue"), broker: true, row: provisioning},
		{at: "after:DeclareQueues", row: provisioning},
		{at: "before:ChangeTenant(active)", row: provisioning},
		{at: "after:ChangeTenant(active)", row: active},
		{at: "before:Start", row: active},
		{at: "after:Start", row: active},
	}
}

func deleteSteps() []step {
	const active, deleting = "active", "deleting"
	list := []step{
		{at: "before:ChangeTenant(deleting)", row: active},
		{at: "after:ChangeTenant(deleting)", row: deleting},
		{at: "before:Stop", row: deleting},
		{at: "after:Stop", row: deleting},
		{at: "before:QueueDepth", row: deleting, waiting: true},
		{at: "after:QueueDepth", row: deleting, waiting: true},
		{at: "before:DeleteQueues", row: deleting, waiting: true},
		{words: "before exchange.delete", frame: request(proxy.ExchangeDelete, "_exchange"), broker: true, row: deleting, waiting: true},
		{words: "before queue.purge", frame: request(proxy.QueuePurge, "_queue"), broker: true, row: deleting, waiting: true},
		{words: "before queue.delete of the queue", frame: request(proxy.QueueDelete, "_queue"), broker: true, row: deleting, waiting: true},
		{words: "before queue.delete of the dead-letter queue", frame: request(proxy.QueueDelete, "_dlq"), broker: true, row: deleting, waiting: true},
		{at: "after:DeleteQueues", row: deleting, waiting: true},
		{at: "before:ErasePartition", row: deleting, erasing: true},
		{words: "before DELETE FROM tenant_streams", frame: statement("DELETE FROM tenant_streams"), row: deleting, erasing: true},
		{words: "before DETACH PARTITION", frame: statement("DETACH PARTITION"), row: deleting, erasing: true},
		{words: "while DETACH PARTITION waits", detaching: true, row: deleting, erasing: true},
		{words: "after DETACH PARTITION", frame: completed("ALTER TABLE"), row: deleting, erasing: true},
		{words: "before DROP TABLE", frame: statement("DROP TABLE"), row: deleting, erasing: true},
		{words: "after DROP TABLE", frame: completed("DROP TABLE"), row: deleting, erasing: true},
		{at: "after:ErasePartition", row: deleting, erasing: true},
		{at: "before:ChangeTenant(deleted)", row: deleting, erasing: true},
		{at: "after:ChangeTenant(deleted)", row: "deleted", erasing: true},
	}
	for i := range list {
		list[i].deletes = true
	}
	return list
}

// crashesAt distributes the steps, in any order, over crashes of at most atOnce
// steps that can be at once.
func crashesAt(random *rand.Rand, all []step, atOnce int) [][]step {
	var crashes [][]step
	for _, i := range random.Perm(len(all)) {
		s := all[i]
		fits := func(crash []step) bool {
			return len(crash) < atOnce && !slices.ContainsFunc(crash, func(o step) bool {
				return o.erasing && s.erasing || o.single() && s.single()
			})
		}
		if at := slices.IndexFunc(crashes, fits); at >= 0 {
			crashes[at] = append(crashes[at], s)
		} else {
			crashes = append(crashes, []step{s})
		}
	}
	for _, crash := range crashes {
		slices.SortFunc(crash, laterFirst)
	}
	return crashes
}

// laterFirst is the order in which to bring tenants to their steps, so that
// those that hold something do not keep others from passing: first the
// deletes, the later steps first, and last those that hold a connection.
func laterFirst(a, b step) int {
	if a.single() != b.single() {
		if b.single() {
			return -1
		}
		return 1
	}
	return b.number - a.number
}

// statement finds the message that has the database execute a statement with
// these words.
func statement(words string) func([]byte, proxy.Side) bool {
	return func(message []byte, to proxy.Side) bool {
		return to == proxy.ToServer && (message[0] == 'Q' || message[0] == 'P') && bytes.Contains(message, []byte(words))
	}
}

// completed finds the message that a statement of this kind is done.
func completed(tag string) func([]byte, proxy.Side) bool {
	return func(message []byte, to proxy.Side) bool {
		return to == proxy.ToClient && message[0] == 'C' && string(message[5:]) == tag+"\x00"
	}
}

// request finds the frame that wants something done with a tenant's queue or exchange
// whose name ends like this. Looking whether it is there does not count.
func request(method uint32, suffix string) func([]byte, proxy.Side) bool {
	return func(frame []byte, to proxy.Side) bool {
		const reserved, passive = 2, 1
		id, arguments := proxy.Method(frame)
		if to != proxy.ToServer || id != method {
			return false
		}
		name, rest := proxy.ShortString(arguments[reserved:])
		return strings.HasPrefix(name, "tenant_") && strings.HasSuffix(name, suffix) && (method != proxy.QueueDeclare || rest[0]&passive == 0)
	}
}
