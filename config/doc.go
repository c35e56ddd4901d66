// Package config reads, checks and prints the service's configuration.
//
// A value comes from the first of: the environment, the configuration file,
// the default. Every key can be set in both; in the environment it is written
// in capitals with underscores, so rabbitmq.url is RABBITMQ_URL. A variable
// that is set and empty counts as not set.
//
//	config.go            what can be configured, with the defaults and what follows from them
//	settings.go          every key with its field and its check; the one list of them
//	setting.go           how one key is read and printed
//	load.go              file, environment and defaults become a Config
//	web.go               what browsers and TLS need
//	urls.go, redact.go   what URLs must look like, and how they are printed
//
// A setting is a field in config.go, its default there, a line in settings.go
// and one in example.config.yaml, which a test compares with the defaults. The
// composition root (pkg/server) hands it to the part that it is for.
package config
