// Package postman makes a Postman collection and its environment of the description of
// the API: a tour from logging in to cleaning up, which programs can run as well, and all
// calls by tag.
package postman
