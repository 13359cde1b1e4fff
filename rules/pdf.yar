// PDF documents that run something when they are opened.

// The objects that a document holds in compressed streams are an object of their
// own, which is called "streams".
private rule pdf_document
{
    strings:
        $head = "%PDF-"
    condition:
        $head in (0..1024) or filename == "streams"
}

rule Pdf_Launches_Command
{
    meta:
        description = "A document that launches a command processor or a script host"
        malware = "Trojan.PDF.Launch"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ISO 32000-1 12.6.4.5; ATT&CK T1204.002"
        severity = 85
    strings:
        $launch = /\/Launch\b[^%]{0,120}\/(Win|F)\b[^%]{0,120}(cmd|powershell|mshta|wscript|cscript|rundll32|regsvr32)(\.exe)?[ )]/ nocase
    condition:
        pdf_document and $launch
}

rule Pdf_Opens_Embedded_File : heuristic
{
    meta:
        description = "A document that has its embedded file opened as soon as it is shown"
        malware = "Heur.Trojan.PDF.Dropper"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ISO 32000-1 7.11.4, 12.6.3; ATT&CK T1204.002"
        severity = 75
    strings:
        $open1 = "/OpenAction"
        $open2 = /\/AA\b/
        $export = "exportDataObject"
        $launch = /nLaunch["']? {0,3}: {0,3}2/
        $file = "/EmbeddedFile"
        $button = "/Subtype/Widget"
        $button2 = "/Subtype /Widget"
    condition:
        pdf_document and any of ($open*) and $export and $launch and $file and none of ($button*)
}

rule Pdf_Embedded_Program
{
    meta:
        description = "A document with an embedded file that is called a program or a script and is opened by script"
        malware = "Trojan.PDF.Program"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ISO 32000-1 7.11.3; ATT&CK T1204.002"
        severity = 80
    strings:
        $name = /\/(F|UF) {0,2}\([^)\r\n]{1,100}\.(exe|scr|pif|com|js|jse|vbs|vbe|wsf|hta|lnk|bat|cmd|settingcontent-ms)\)/ nocase
        $file = "/EmbeddedFile"
        $export = "exportDataObject"
        $launch = /nLaunch["']? {0,3}: {0,3}[12]/
    condition:
        pdf_document and $name and $file and $export and $launch
}

rule Pdf_Script_Exploit
{
    meta:
        description = "Script in a document that fills memory and calls a function known for overrunning"
        malware = "Exploit.PDF.Script"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2007-5659; CVE-2008-2992; CVE-2009-0927; CVE-2009-4324"
        severity = 90
    strings:
        $fill1 = /unescape\( {0,2}["']%u[0-9a-f]{4}%u[0-9a-f]{4}/ nocase
        $fill2 = "%u9090%u9090" nocase
        $fill3 = "%u0c0c%u0c0c" nocase
        $call1 = "Collab.collectEmailInfo"
        $call2 = "Collab.getIcon"
        $call3 = /util\.printf\( {0,2}["']%45000/
        $call4 = "media.newPlayer(null)"
        $call5 = "spell.customDictionaryOpen"
    condition:
        (pdf_document or filepath matches /\.pdf(\/|$)/i) and any of ($fill*) and any of ($call*)
}

rule Pdf_Script_At_Opening : info
{
    meta:
        description = "A document with script and an action at opening"
        malware = "Info.PDF.Script"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ISO 32000-1 12.6.4.16"
        severity = 10
        score = 20
    strings:
        $open1 = "/OpenAction"
        $open2 = /\/AA\b/
        $script = /\/JavaScript\b/
    condition:
        pdf_document and any of ($open*) and $script
}

rule Pdf_Link_To_Program : heuristic
{
    meta:
        description = "A document that links to a program or script on the internet"
        malware = "Heur.PDF.Link"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ISO 32000-1 12.6.4.7; ATT&CK T1566.002"
        severity = 40
        score = 50
    strings:
        $link = /\/URI {0,2}\(https?:\/\/[^)\r\n]{4,190}\.(scr|pif|js|jse|vbs|hta|wsf|lnk|iso|img|exe)\)/ nocase
    condition:
        pdf_document and $link
}
