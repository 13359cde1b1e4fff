// Archives whose very structure is the attack, or whose list of names shows it:
// names stand in the clear also where the content is encrypted.

private rule archive_zip
{
    condition:
        uint32be(0) == 0x504B0304
}

private rule archive_rar_or_ace
{
    condition:
        uint32be(0) == 0x52617221 or (uint32be(7) == 0x2A2A4143 and uint16be(11) == 0x452A)
}

rule Archive_Document_And_Folder
{
    meta:
        description = "An archive with a document and a folder of the same name that holds a script: opening the one starts the other"
        malware = "Exploit.Archive.WinRAR"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2023-38831"
        severity = 90
    strings:
        $name = /\.(pdf|txt|jpe?g|png|docx?|xlsx?|zip|rar) [\/\\][^\/\\\x00]{1,100}\.(pdf|txt|jpe?g|png|docx?|xlsx?|zip|rar) \.(cmd|bat|exe|vbs|vbe|js|jse|scr|pif|lnk|wsf|hta)/ nocase
    condition:
        (archive_zip or archive_rar_or_ace) and $name
}

rule Archive_Unpacks_Into_Startup
{
    meta:
        description = "An archive with a name that climbs out of its folder into Startup"
        malware = "Exploit.Archive.Traversal"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2018-20250; CVE-2025-8088; ATT&CK T1547.001"
        severity = 90
    strings:
        $name1 = "Start Menu\\Programs\\Startup\\" nocase
        $name2 = "Start Menu/Programs/Startup/" nocase
        $up1 = "..\\..\\"
        $up2 = "../../"
    condition:
        (archive_zip or archive_rar_or_ace) and any of ($up*) and
        (for any i in (1..#name1) : ( any of ($up*) in (@name1[i] - 200..@name1[i]) ) or
         for any i in (1..#name2) : ( any of ($up*) in (@name2[i] - 200..@name2[i]) ))
}

rule Archive_Zip_Hidden_Program : heuristic
{
    meta:
        description = "A zip archive with a program or script whose name shows the ending of a document before its own"
        malware = "Heur.Trojan.Zip.DoubleExtension"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1036.007; PKWARE APPNOTE 4.3.7"
        severity = 75
    strings:
        $name = /PK\x03\x04[\x00-\xFF]{26}[^\x00]{1,120}\.(pdf|docx?|xlsx?|pptx?|jpe?g|png|gif|rtf|txt) {0,100}\.(exe|scr|pif|vbe|jse|wsf|hta|vbs)(\x00|PK|[^a-z0-9])/ nocase
    condition:
        archive_zip and $name
}

rule Archive_Rar_Hidden_Program : heuristic
{
    meta:
        description = "A RAR archive with a program or script whose name shows the ending of a document before its own"
        malware = "Heur.Trojan.Rar.DoubleExtension"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1036.007; RAR 5.0 technical note"
        severity = 75
    strings:
        $name = /[\x20-\x7E\x80-\xFF]{3}\.(pdf|docx?|xlsx?|pptx?|jpe?g|rtf) {0,100}\.(exe|scr|pif|vbe|jse|wsf|hta|vbs)[^a-z0-9]/ nocase
    condition:
        uint32be(0) == 0x52617221 and $name
}

rule Archive_Mac_Bundle_Double_Extension : heuristic
{
    meta:
        description = "A Macintosh program in a zip archive whose name shows the ending of a document before its own"
        malware = "Heur.OSX.DoubleExtension"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1036.007"
        severity = 75
    strings:
        $name = /\.(jpe?g|png|pdf|docx?|xlsx?|pptx?|rtf|mp4|mov)[ _]?\.app\/Contents\/MacOS\// nocase
    condition:
        archive_zip and $name
}
