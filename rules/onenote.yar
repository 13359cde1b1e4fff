// OneNote sections: an embedded file lies behind the GUID of its
// FileDataStoreObject (MS-ONESTORE 2.6.13), 20 bytes of header between.

private rule onenote_section
{
    condition:
        uint32be(0) == 0xE4525C7B and uint32be(4) == 0x8CD8A74D and uint32be(8) == 0xAEB15378 and uint32be(12) == 0xD02996D3
}

rule Onenote_Embedded_Program
{
    meta:
        description = "A OneNote section with a program, a shortcut or compiled help in it"
        malware = "Trojan.OneNote.Program"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-ONESTORE 2.6.13; ATT&CK T1204.002"
        severity = 80
    strings:
        $program = { E7 16 E3 BD 65 26 11 45 A4 C4 8D 4D 0B 7A 9E AC [20] 4D 5A (90 | 50 | 80 | 00) 00 }
        $link = { E7 16 E3 BD 65 26 11 45 A4 C4 8D 4D 0B 7A 9E AC [20] 4C 00 00 00 01 14 02 00 }
        $help = { E7 16 E3 BD 65 26 11 45 A4 C4 8D 4D 0B 7A 9E AC [20] 49 54 53 46 03 00 00 00 }
    condition:
        onenote_section and any of them
}

rule Onenote_Embedded_Script
{
    meta:
        description = "A OneNote section with a script in it that runs commands"
        malware = "Trojan.OneNote.Script"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-ONESTORE 2.6.13; ATT&CK T1204.002, T1059"
        severity = 85
    strings:
        $store = { E7 16 E3 BD 65 26 11 45 A4 C4 8D 4D 0B 7A 9E AC }
        $script1 = "<hta:application" ascii nocase
        $script2 = "<script" ascii nocase
        $script3 = "@echo off" ascii nocase
        $script4 = "<job" ascii nocase
        $script5 = /\bOn Error Resume Next\b/ ascii nocase
        $script6 = "powershell" ascii nocase
        $run1 = "WScript.Shell" ascii nocase
        $run2 = /powershell[^\r\n]{0,200}(DownloadString|DownloadFile|FromBase64String|Invoke-WebRequest| -e(nc|ncodedcommand)? [A-Za-z0-9+\/]{40})/ ascii nocase
        $run3 = /mshta(\.exe)? {1,3}["']?https?:/ ascii nocase
        $run4 = /(curl|bitsadmin|certutil)(\.exe)? [^\r\n]{0,190}https?:[^\r\n]{0,190}(%te?mp%|%appdata%|%public%|programdata)/ ascii nocase
        $run5 = "ShellExecute" ascii nocase
    condition:
        onenote_section and for any i in (1..#store) : (
            any of ($script*) in (@store[i] + 36..@store[i] + 2048)
        ) and any of ($run*)
}

rule Onenote_Embedded_File : info
{
    meta:
        description = "A OneNote section with a file or a picture in it"
        malware = "Info.OneNote.File"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-ONESTORE 2.6.13"
        severity = 5
        score = 10
    strings:
        $store = { E7 16 E3 BD 65 26 11 45 A4 C4 8D 4D 0B 7A 9E AC }
    condition:
        onenote_section and $store
}
