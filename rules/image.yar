// Pictures and cursors made to overrun their readers.

rule Image_Wmf_Abort_Procedure
{
    meta:
        description = "A Windows metafile that registers its own bytes as a procedure to call"
        malware = "Exploit.WMF.SetAbortProc"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2005-4560; MS-WMF 2.3.6"
        severity = 90
    strings:
        // META_ESCAPE, escape function SETABORTPROC
        $escape = { ?? ?? 00 00 26 06 09 00 }
    condition:
        filesize < 1MB and
        (uint32be(0) == 0xD7CDC69A or uint32be(0) == 0x01000900 or uint32be(0) == 0x02000900) and $escape
}

rule Image_Cursor_Overflow
{
    meta:
        description = "An animated cursor whose second header is larger than a header"
        malware = "Exploit.ANI.Header"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2007-0038; CVE-2004-1049"
        severity = 90
    strings:
        $header = "anih"
    condition:
        filesize < 1MB and uint32be(0) == 0x52494646 and uint32be(8) == 0x41434F4E and
        for any i in (1..#header) : ( uint32(@header[i] + 4) > 36 )
}
