// Package cli is the command line: which commands there are, their flags, and what
// they print. It stands beside the composition root: commands that work on the
// servers themselves read the configuration and call package server, and those that
// talk to a running service use package client and read no configuration at all.
//
//	cli.go         Main and Run, the tree of commands, exit statuses
//	arguments.go   which arguments a command takes, and what is wrong with others
//	help.go        -h; page.go: docs/cli.md, which is made of the same tree
//	configured.go  commands with a configuration, each with the settings that it needs
//	service.go     serve, migrate, doctor, encrypt, healthcheck, version, completion
//	users.go, keys.go, audit.go
//	calling.go     commands that call the API, and what they say when it does not answer
//	output.go      -o, and how lists and single things are printed
//	tenants.go, messages.go (history, tail), letters.go, endpoints.go, reports.go
//	demo.go        what package demo does, in lines
//	publish.go     one message; publish_many.go: one a line, and tally.go: what became of them
//
// Reading standard input cannot be broken off: the goroutine in publish_many.go that
// does it ends with its input, or with the process. No other goroutine is owned here.
//
// Package terminal writes tables and lines that change; package demo shows the service
// at work.
package cli
