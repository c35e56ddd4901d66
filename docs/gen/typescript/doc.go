// Package typescript makes the types of the TypeScript client, which the console has, too, of the
// description of the API: one for each schema.
package typescript
