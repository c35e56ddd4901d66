// The types of the API are those of its client, which `make generate` writes.
export * from "../../../clients/typescript/src/types";
