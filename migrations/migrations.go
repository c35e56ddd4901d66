// Package migrations holds the schema of the database as numbered SQL files,
// written for goose.
package migrations

import "embed"

// FS holds the migrations.
//
//go:embed *.sql
var FS embed.FS
