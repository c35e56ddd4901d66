// Package digits writes numbers for people.
package digits
