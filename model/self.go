package model

import "lanekeeper/domain"

// Me is who calls.
type Me struct {
	// User is the user that the token belongs to; null for the built-in admin of
	// open mode, and for a portal link.
	User *User `json:"user" validate:"required" extensions:"x-nullable"`
	// Role decides what the caller may do.
	Role string `json:"role" validate:"required" enums:"viewer,member,admin" example:"member"`
	// TenantID is the tenant the caller belongs to; null for none.
	TenantID *string `json:"tenant_id" validate:"required" format:"uuid" extensions:"x-nullable" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// Portal is the portal link that the caller came with; left out without one. Limits
	// and used are empty then.
	Portal *MyPortalLink `json:"portal,omitempty"`
	// Limits are what the tenants that the caller has created may have; 0 is any number.
	Limits map[string]int `json:"limits" validate:"required" example:"tenants:1000,workers:2000"`
	// Used is what they have.
	Used OwnerUse `json:"used" validate:"required"`
} //@name Me

// OwnerUse is what an owner has.
type OwnerUse struct {
	Tenants int `json:"tenants" validate:"required" example:"3"`
	// TenantsLastMinute is how many were created in the last minute.
	TenantsLastMinute int `json:"tenants_last_minute" validate:"required" example:"0"`
	// Workers is how many all tenants have together.
	Workers int `json:"workers" validate:"required" example:"9"`
} //@name OwnerUse

// FromSelf returns who calls; user is nil for the built-in admin.
func FromSelf(p domain.Principal, user *domain.User, limits *domain.Limits, use *domain.OwnerUse) Me {
	me := Me{
		Role: string(p.Role), TenantID: optionalID(p.TenantID), Limits: make(map[string]int),
		Used: OwnerUse{Tenants: use.Tenants, TenantsLastMinute: use.Created, Workers: use.Workers},
	}
	for _, name := range domain.LimitNames() {
		me.Limits[name] = *limits.Field(name)
	}
	if user != nil {
		u := FromUser(user)
		me.User = &u
	}
	return me
}

// ChangePassword is the body of PUT /me/password.
type ChangePassword struct {
	// Current is the password that the caller logs in with until now.
	Current *string `json:"current" validate:"required" example:"correct horse battery"`
	// New has at least 12 characters and at most 1024 bytes, and must not be easy to
	// guess.
	New *string `json:"new" validate:"required" example:"gravel mumble tax orbit"`
} //@name ChangePassword

// Domain returns both passwords, or an ErrInvalid when one is missing.
func (r *ChangePassword) Domain() (current, next string, err error) {
	return bothTexts("/current", r.Current, "/new", r.New)
}
