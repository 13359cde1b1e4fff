package unpack

// crc16Table is the table of the checksum that BinHex and MacBinary have: the
// polynomial of CCITT, x^16 + x^12 + x^5 + 1, the highest bit first.
var crc16Table = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			carry := crc >> 15
			crc = crc<<1 ^ carry*0x1021
		}
		table[i] = crc
	}
	return table
}()

// crc16 is the checksum of data, begun with zero.
func crc16(data []byte) (crc uint16) {
	for _, c := range data {
		crc = crc<<8 ^ crc16Table[byte(crc>>8)^c]
	}
	return crc
}
