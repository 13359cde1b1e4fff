package unpack

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"strconv"
)

// partitionOpener opens images of disks: those with a partition table of the PC
// (MBR, with extended partitions), with a GUID partition table (UEFI 2.10, chapter
// 5), and with Apple's ("Inside Macintosh: Devices", chapter 3). Each partition is
// a member as it stands.
var partitionOpener = opener{name: "disk", match: partitionMatch, entries: partitionEntries}

const (
	partitionSector = 512
	partitionTable  = 446 // where the table of the PC is
	partitionMany   = 1024

	gptMagic   = "EFI PART"
	appleMagic = "PM\x00\x00"
)

// Types of partitions of the PC.
const (
	partitionExtended   = 0x05
	partitionExtended95 = 0x0f
	partitionExtendedLX = 0x85
	partitionGPT        = 0xee
)

// gptSectors are where a GUID partition table begins: in the second sector.
var gptSectors = []int64{512, 4096, 2048}

func partitionMatch(data []byte) bool {
	if len(data) < 2*partitionSector {
		return false
	}
	return isMBR(data) || gptSector(data) > 0 || hasMagic(data, partitionSector, appleMagic)
}

// isMBR reports whether the first sector has a partition table that makes sense,
// with anything in it.
func isMBR(data []byte) bool {
	if !hasMagic(data, 510, "\x55\xaa") {
		return false
	}
	used := 0
	for e := data[partitionTable:510]; len(e) > 0; e = e[16:] {
		start, count := binary.LittleEndian.Uint32(e[8:]), binary.LittleEndian.Uint32(e[12:])
		switch {
		case e[0]&0x7f != 0: // not a mark of the one to start from
			return false
		case e[4] == 0 && count == 0:
		case start == 0: // the whole disk, as programs write it that start from CDs and floppies
		case e[4] == 0, count == 0, int64(start)*partitionSector >= int64(len(data)):
			return false
		default:
			used++
		}
	}
	return used > 0
}

// gptSector is the size of sectors by where the header of a GUID partition table is; 0 if nowhere.
func gptSector(data []byte) int64 {
	for _, sector := range gptSectors {
		if hasMagic(data, sector, gptMagic) {
			return sector
		}
	}
	return 0
}

// partitionReader hands out the partitions of one disk.
type partitionReader struct {
	*imageReader
	number int
}

func partitionEntries(f File) iter.Seq2[member, error] {
	return func(yield func(member, error) bool) {
		p := &partitionReader{imageReader: newImageReader(f.Data, yield)}
		p.left = 3*int64(len(f.Data)) + 1<<20 // the tables may all be about the same partitions
		sector := gptSector(f.Data)
		if sector > 0 {
			p.gpt(sector)
		}
		if isMBR(f.Data) {
			p.mbr(sector > 0)
		}
		if hasMagic(f.Data, partitionSector, appleMagic) {
			p.apple()
		}
	}
}

// partition hands out a partition, by its place in bytes. The whole disk is none.
func (p *partitionReader) partition(name string, start, size int64) {
	p.number++
	if start <= 0 || size <= 0 || !p.entry() {
		return
	}
	if name == "" {
		name = strconv.Itoa(p.number)
	}
	p.file(imageFile{name: name, extents: []imageExtent{{start, size}}, size: size, doubtful: false})
}

// mbr reads the table of the PC; hybrid says that there is one of GUIDs as well,
// which this one protects.
func (p *partitionReader) mbr(hybrid bool) {
	for e := p.data[partitionTable:510]; len(e) > 0; e = e[16:] {
		start, count := int64(binary.LittleEndian.Uint32(e[8:])), int64(binary.LittleEndian.Uint32(e[12:]))
		switch kind := e[4]; {
		case kind == partitionGPT && hybrid, count == 0:
		case kind == partitionExtended, kind == partitionExtended95, kind == partitionExtendedLX:
			p.extended(start)
		default:
			p.partition("", start*partitionSector, count*partitionSector)
			if at := start * 4096; start > 0 && at < int64(len(p.data)) && isVolume(p.data[at:]) { // a disk of large sectors
				p.partition("", at, min(count*4096, int64(len(p.data))-at))
			}
		}
	}
}

// isVolume reports whether data begin with a file system.
func isVolume(data []byte) bool { return fatMatch(data) || ntfsMatch(data) }

// extended reads the partitions within an extended one: a chain of tables, each
// with a partition and where the next table is.
func (p *partitionReader) extended(first int64) {
	visited := make(map[int64]bool)
	for at := first; !visited[at] && len(visited) < partitionMany; {
		visited[at] = true
		table := tail(p.data, at*partitionSector)
		if len(table) < partitionSector || !hasMagic(table, 510, "\x55\xaa") {
			p.damaged("extended partition")
			return
		}
		for e := table[partitionTable:510]; len(e) > 0; e = e[16:] {
			start, count := int64(binary.LittleEndian.Uint32(e[8:])), int64(binary.LittleEndian.Uint32(e[12:]))
			switch e[4] {
			case 0:
			case partitionExtended, partitionExtended95, partitionExtendedLX:
				at = first + start
			default:
				p.partition("", (at+start)*partitionSector, count*partitionSector)
			}
		}
	}
}

// gpt reads a GUID partition table and its copies: where the header says, and at
// the end of the disk.
func (p *partitionReader) gpt(sector int64) {
	le := binary.LittleEndian
	places := []int64{sector, (int64(len(p.data))/sector - 1) * sector}
	for i := 0; i < len(places); i++ {
		h := tail(p.data, places[i])
		if !hasMagic(h, 0, gptMagic) {
			continue
		}
		if len(h) < 92 {
			p.damaged("partition table cut short")
			continue
		}
		if i == 0 {
			places = append(places, int64(min(le.Uint64(h[32:]), 1<<40))*sector)
		}
		p.gptTable(int64(min(le.Uint64(h[72:]), 1<<40))*sector, le.Uint32(h[80:]), int64(le.Uint32(h[84:])), sector)
	}
}

// gptTable reads the entries of a GUID partition table.
func (p *partitionReader) gptTable(at int64, count uint32, size, sector int64) {
	if size < 128 || size > 4096 {
		p.damaged("partition table")
		return
	}
	le := binary.LittleEndian
	table := tail(p.data, at)
	for n := range min(count, partitionMany) {
		if int64(len(table)) < size {
			p.damaged("partition table cut short")
			return
		}
		e := table[:size]
		table = table[size:]
		if zeros(e[:16]) {
			continue
		}
		first, last := le.Uint64(e[32:]), le.Uint64(e[40:])
		if first > last || last >= 1<<50 {
			p.emit(member{}, fmt.Errorf("%w: place of partition %d", ErrDamaged, n+1))
			continue
		}
		p.number = int(n)
		p.partition(wideName(e[56:128]), int64(first)*sector, int64(last-first+1)*sector)
	}
}

// apple reads Apple's partition map: blocks, each about one partition.
func (p *partitionReader) apple() {
	be := binary.BigEndian
	for at := int64(partitionSector); at < partitionMany*partitionSector && hasMagic(p.data, at, appleMagic); at += partitionSector {
		e := tail(p.data, at)
		if len(e) < 80 {
			p.damaged("partition table cut short")
			return
		}
		name, _, _ := bytes.Cut(e[16:48], []byte{0})
		kind, _, _ := bytes.Cut(e[48:80], []byte{0})
		switch string(kind) {
		case "Apple_partition_map", "Apple_Free":
			continue
		}
		p.partition(decodeName(name), int64(be.Uint32(e[8:]))*partitionSector, int64(be.Uint32(e[12:]))*partitionSector)
	}
}
