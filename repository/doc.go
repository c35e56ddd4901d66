// Package repository keeps tenants, their messages, users, idempotency keys
// and secrets in PostgreSQL. One Store implements all of domain's
// repositories; errors of the database become errors of domain here.
package repository
