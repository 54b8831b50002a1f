// Package contract holds every annotation, label, condition type, reason and file
// that crosses from one service of Weir to another. Each names its one writer and
// its readers.
package contract
