// Package browser tries the console in Chromium, against the service: make browser. Each
// script in scripts runs with a service of its own, behind a front that is away while the
// service is. The types of the console's modules are checked, too.
package browser
