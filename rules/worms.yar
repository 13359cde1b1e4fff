// Worms and viruses of mail's history, by what their authors wrote into them.

// A script by its name, or markup from its first byte on: a letter that quotes one is neither.
private rule worm_script
{
    condition:
        uint8(0) == 0x3C or uint32be(0) == 0xEFBBBF3C or (uint8(0) <= 0x20 and (uint8(1) == 0x3C or uint8(2) == 0x3C or uint8(3) == 0x3C or uint8(4) == 0x3C)) or
        filename matches /\.(vb[se]|js|wsf|hta|html?|htt)[ .]*$/i
}

rule Worm_LoveLetter
{
    meta:
        description = "The worm LoveLetter, the mail that said ILOVEYOU"
        malware = "VBS.LoveLetter.A@mm"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CERT CA-2000-04"
        severity = 95
    strings:
        $title = "barok -loveletter(vbe)" nocase
        $spread = "spreadtoemail()" nocase
        $change = "regcreate \"HKEY_LOCAL_MACHINE" nocase
        $letter = "LOVE-LETTER-FOR-YOU" nocase
    condition:
        worm_script and
        filesize < 256KB and $change and 2 of ($title, $spread, $letter)
}

rule Worm_AnnaKournikova
{
    meta:
        description = "The worm that came as a picture of Anna Kournikova"
        malware = "VBS.SST.A@mm"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CERT CA-2001-03"
        severity = 95
    strings:
        $title = "Vbs.OnTheFly Created By OnTheFly" nocase
        $execute = "Execute " nocase
    condition:
        worm_script and
        filesize < 256KB and $title in (0..256) and $execute
}

rule Worm_BubbleBoy
{
    meta:
        description = "The worm BubbleBoy, which runs when its mail is shown"
        malware = "VBS.BubbleBoy@mm"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-1999-0668"
        severity = 95
    strings:
        $key = "OUTLOOK.BubbleBoy" nocase
        $drop = "UPDATE.HTA" nocase
        $script = "<script" nocase
    condition:
        worm_script and
        filesize < 256KB and all of them
}

rule Virus_Redlof
{
    meta:
        description = "The script virus Redlof, which makes itself the stationery of every mail"
        malware = "VBS.Redlof.A@m"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2000-1061"
        severity = 90
    strings:
        $key = "Execute(\"Dim KeyArr(3),ThisText\"" nocase
        $text = "ExeString" nocase
    condition:
        worm_script and
        filesize < 4MB and all of them
}

rule Worm_Nimda
{
    meta:
        description = "The worm Nimda"
        malware = "W32.Nimda.A@mm"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CERT CA-2001-26"
        severity = 95
    strings:
        $title = "Concept Virus(CV) V."
        $author = "R.P.China"
    condition:
        uint16(0) == 0x5A4D and filesize < 1MB and all of them
}

rule Virus_Cih
{
    meta:
        description = "The file virus CIH, which overwrites disks and firmware"
        malware = "W95.CIH"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CERT IN-99-03"
        severity = 95
    strings:
        $title = /CIH v1\.[2-4] (TTIT|TATUNG)/
    condition:
        uint16(0) == 0x5A4D and $title
}

rule Virus_Melissa
{
    meta:
        description = "The macro virus Melissa"
        malware = "W97M.Melissa.A@mm"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CERT CA-1999-04"
        severity = 95
    strings:
        $title = "WORD/Melissa written by Kwyjibo" nocase
    condition:
        uint32be(0) == 0xD0CF11E0 and $title
}

rule Virus_Marker
{
    meta:
        description = "The macro virus Marker, which keeps a log of whom it infected"
        malware = "W97M.Marker"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-OVBA; ATT&CK T1080"
        severity = 90
    strings:
        $marker = "<- this is a marker!" nocase
        $log = "LogFile -->" nocase
        $virus = "VirusProtection" nocase
    condition:
        uint32be(0) == 0xD0CF11E0 and $marker and any of ($log, $virus)
}

rule Virus_Laroux
{
    meta:
        description = "The macro virus Laroux, the first of Excel"
        malware = "XM.Laroux.A"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-XLS; ATT&CK T1137"
        severity = 90
    strings:
        $module = "laroux" nocase
        $check = "check_files" nocase
        $start = "auto_open" nocase
        $home = "PERSONAL.XLS" nocase
    condition:
        uint32be(0) == 0xD0CF11E0 and all of them
}
