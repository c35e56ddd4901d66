package tenant

import "lanekeeper/domain"

// Follower makes what is known of the tenants, and their consumers, follow
// changes that anybody in the fleet made to the database. It is safe for
// concurrent use.
type Follower struct {
	directory  *Directory
	reconciler *Reconciler
}

// NewFollower returns a Follower.
func NewFollower(d *Directory, r *Reconciler) *Follower {
	return &Follower{directory: d, reconciler: r}
}

// Follow takes one change into account; changes that do not concern tenants
// are ignored. It never blocks, and what it asks for costs a read of the row
// when nothing is to be done, so that it may be told of this process' own
// changes, too. Which tenants are owned here is for the fleet to
// follow, which then calls Reconciler.ResyncAll.
func (f *Follower) Follow(c domain.Change) {
	switch c.Kind {
	case domain.TenantChanged:
		f.directory.Forget(c.ID)
		f.reconciler.EnqueueConsumer(c.ID)
	case domain.TenantsChanged, domain.AnythingChanged:
		f.directory.ForgetAll()
		f.reconciler.ResyncAll()
	case domain.UserChanged, domain.APIKeyChanged, domain.ReplicasChanged, domain.DeliveriesChanged:
	}
}
