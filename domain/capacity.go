package domain

// Footprint is what of the service takes open files of the broker.
type Footprint struct {
	// QuorumPerTenant is how many quorum queues every tenant has. Classic queues
	// take no files to speak of.
	QuorumPerTenant int
	// ConnectionsPerReplica is how many connections a replica has in any case.
	// It has one more for every TenantsPerConnection tenants.
	ConnectionsPerReplica, TenantsPerConnection int
}

const (
	// filesPerQuorumQueue is what RabbitMQ 3.10 sets aside for each. 4.0 was
	// seen to take up to 2.
	filesPerQuorumQueue = 3
	// filesForTheRest are for logs, other clients and whatever else there is.
	filesForTheRest = 1000
	// A broker that has no file left does not fail, it hangs. So it is filled
	// to fullPercent of its limit only, and warned of from nearlyFullPercent.
	fullPercent       = 95
	nearlyFullPercent = 90
)

// Files returns how many open files a broker must be allowed for the tenants
// of so many replicas.
func (f Footprint) Files(tenants, replicas int) int {
	files := filesPerQuorumQueue*f.QuorumPerTenant*tenants + f.ConnectionsPerReplica*replicas + filesForTheRest
	if f.TenantsPerConnection > 0 {
		files += (tenants + f.TenantsPerConnection - 1) / f.TenantsPerConnection
	}
	return files
}

// FileUse compares the open files that the broker needs with those it may
// have.
type FileUse struct {
	Need int
	// Limit is 0 when it is not known; then nothing is ever full.
	Limit int
}

// NearlyFull reports whether it is time to allow the broker more.
func (u FileUse) NearlyFull() bool { return u.Limit > 0 && u.Need*100 >= u.Limit*nearlyFullPercent }

// Full reports whether more is needed than can be relied upon.
func (u FileUse) Full() bool { return u.Limit > 0 && u.Need*100 > u.Limit*fullPercent }
