//go:build tools

// Package clients pins what scripts/clients.sh builds: go.mod and go.sum name every module with its hash.
package clients

import _ "github.com/ethereum/go-ethereum/cmd/geth"
