// Microsoft Office documents. Macro sources are compressed (MS-OVBA 2.4.1), but
// the names that a project uses stand in the clear in its _VBA_PROJECT stream,
// and the text constants in the compiled code of each module: that is what these
// rules read. A project without compiled code is not seen by them.

// Markup stands at the start: a letter that quotes it is no markup.
private rule office_markup
{
    condition:
        uint8(0) == 0x3C or uint32be(0) == 0xEFBBBF3C or (uint8(0) <= 0x20 and (uint8(1) == 0x3C or uint8(2) == 0x3C or uint8(3) == 0x3C or uint8(4) == 0x3C))
}

private rule office_ole
{
    condition:
        uint32be(0) == 0xD0CF11E0 and uint32be(4) == 0xA1B11AE1 and filesize < 64MB
}

// Names under which Word, Excel and PowerPoint run a macro without being asked.
private rule office_macro_starts
{
    strings:
        $auto1 = "AutoOpen" nocase
        $auto2 = "Auto_Open" nocase
        $auto3 = "AutoExec" nocase
        $auto4 = "AutoClose" nocase
        $auto5 = "Auto_Close" nocase
        $auto6 = "AutoNew" nocase
        $auto7 = "Document_Open" nocase
        $auto8 = "Document_Close" nocase
        $auto9 = "Document_New" nocase
        $auto10 = "Workbook_Open" nocase
        $auto11 = "Workbook_Activate" nocase
        $auto12 = "Workbook_BeforeClose" nocase
        $auto13 = "FileSaveAs" nocase
    condition:
        office_ole and any of them
}

rule Office_Macro_Project : info
{
    meta:
        description = "A document or macro project with Visual Basic in it"
        malware = "Info.Office.Macro"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-OVBA"
        severity = 10
        score = 20
    strings:
        $project = "_VBA_PROJECT" wide
    condition:
        office_ole and $project
}

rule Office_Macro_Auto_Download_Run
{
    meta:
        description = "A macro that starts by itself, fetches a file from the internet, saves a program or script and runs it"
        malware = "Trojan.Downloader.VBA"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-OVBA; ATT&CK T1137, T1204.002, T1105"
        severity = 85
    strings:
        $project = "_VBA_PROJECT" wide
        $get1 = "URLDownloadToFile" nocase
        $get2 = "XMLHTTP" nocase
        $get3 = "WinHttp.WinHttpRequest" nocase
        $get4 = "InternetOpenUrl" nocase
        $save1 = "URLDownloadToFile" nocase
        $save2 = "SaveToFile" nocase
        $save3 = "InternetReadFile" nocase
        $run1 = "WScript.Shell" nocase
        $run2 = "ShellExecute" nocase
        $run3 = "Shell.Application" nocase
        $run4 = "WinExec" nocase
        $run5 = "CreateProcess" nocase
        $run6 = "Win32_Process" nocase
        $run7 = { 00 05 53 68 65 6C 6C }
        $address1 = "http://" nocase
        $address2 = "https://" nocase
        $program = /\.(exe|scr|dll|vbs|vbe|jse|hta|ps1|bat|cmd|pif)\b/ nocase
    condition:
        office_ole and $project and office_macro_starts and any of ($get*) and any of ($save*) and any of ($run*) and any of ($address*) and $program
}

rule Office_Macro_Auto_Command
{
    meta:
        description = "A macro that starts by itself and holds a command line which fetches or decodes code and runs it"
        malware = "Trojan.Downloader.VBA.Command"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-OVBA; ATT&CK T1059.001, T1059.003, T1218"
        severity = 85
    strings:
        $project = "_VBA_PROJECT" wide
        $run1 = /powershell[^\x00\r\n]{0,200}(DownloadString|DownloadFile|DownloadData|FromBase64String|Invoke-WebRequest|Invoke-Expression|\biwr |\birm |\biex\b)/ nocase
        $run2 = /powershell[^\x00\r\n]{0,100} [-\/]e(nc|c|ncodedcommand)? {1,3}[A-Za-z0-9+\/]{20}/ nocase
        $run3 = /mshta(\.exe)? {1,3}["']{0,2}(https?:\/\/|javascript:)/ nocase
        $run4 = /regsvr32(\.exe)? [^\x00\r\n]{0,60}[\/-]i:https?:/ nocase
        $run5 = /certutil(\.exe)? [^\x00\r\n]{0,60}[-\/](decode|urlcache) / nocase
        $run6 = /bitsadmin(\.exe)? [^\x00\r\n]{0,60}\/transfer [^\x00\r\n]{0,60}https?:/ nocase
        $run7 = /wmic(\.exe)? [^\x00\r\n]{1,60}\/format: ?["']{0,2}https?:/ nocase
        $run8 = /rundll32(\.exe)? [^\x00\r\n]{0,40}javascript:/ nocase
    condition:
        office_ole and $project and office_macro_starts and any of ($run*)
}

rule Office_Macro_Shellcode
{
    meta:
        description = "A macro that writes machine code into executable memory and starts a thread there"
        malware = "Trojan.VBA.Shellcode"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-OVBA; ATT&CK T1055, T1106"
        severity = 85
    strings:
        $project = "_VBA_PROJECT" wide
        $alloc = /VirtualAlloc(Ex)?\b/
        $copy1 = "RtlMoveMemory"
        $copy2 = "WriteProcessMemory"
        $thread1 = "CreateThread"
        $thread2 = "CreateRemoteThread"
        $thread3 = "QueueUserAPC"
    condition:
        office_ole and $project and office_macro_starts and $alloc and any of ($copy*) and any of ($thread*)
}

rule Office_Macro_Virus
{
    meta:
        description = "A macro that switches off Word's macro protection and copies itself into the global template"
        malware = "W97M.Generic"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-OVBA; ATT&CK T1137.001, T1080"
        severity = 85
    strings:
        $guard = "VirusProtection" nocase
        $template = "NormalTemplate" nocase
        $copy1 = "OrganizerCopy" nocase
        $copy2 = "InsertLines" nocase
        $copy3 = "AddFromString" nocase
        $copy4 = "AddFromFile" nocase
    condition:
        office_ole and $guard and $template and any of ($copy*) and office_macro_starts
}

rule Office_Excel4_Auto_Run
{
    meta:
        description = "An Excel 4 macro that starts by itself and fetches or runs something"
        malware = "Trojan.Downloader.Excel4"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-XLS 2.4.150 (Lbl), built-in name Auto_Open; ATT&CK T1059"
        severity = 85
    strings:
        // Lbl record, fBuiltin, one character name 0x01, a reference of 7 bytes
        $auto = { 18 00 17 00 (20 | 21) 00 00 01 07 00 00 00 ?? ?? 00 00 00 00 00 01 3A }
        $run1 = "URLDownloadToFile" ascii wide nocase
        $run2 = "ShellExecute" ascii wide nocase
        $run3 = "mshta" ascii wide nocase
        $run4 = "powershell" ascii wide nocase
        $run5 = "regsvr32" ascii wide nocase
        $run6 = "rundll32" ascii wide nocase
        $run7 = /wmic [^\x00]{0,60}process/ ascii wide nocase
        $run8 = "CreateProcess" ascii wide nocase
        $run9 = "VirtualAlloc" ascii wide nocase
    condition:
        office_ole and $auto and any of ($run*)
}

rule Office_Excel4_Sheet_Runs
{
    meta:
        description = "A macro sheet of an Office Open XML workbook that calls the system to fetch or run something"
        malware = "Trojan.Downloader.Excel4.XML"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ISO/IEC 29500-4 macrosheet; ATT&CK T1059"
        severity = 85
    strings:
        $sheet = "<xm:macrosheet"
        $run1 = /(CALL\(|REGISTER\()(&quot;|")(urlmon|kernel32|shell32|wininet|advpack)/ nocase
        $run2 = /EXEC\((&quot;|")[^<]{0,100}(powershell|mshta|regsvr32|rundll32|wscript|cmd)/ nocase
    condition:
        office_markup and
        filesize < 32MB and $sheet and any of ($run*)
}

rule Office_Sylk_Macro
{
    meta:
        description = "A SYLK sheet with an Excel 4 macro that starts by itself and runs a command"
        malware = "Trojan.SYLK.Macro"
        author = "kiyome"
        date = "2026-11-23"
        reference = "SYLK; ATT&CK T1059"
        severity = 85
    strings:
        $head = "ID;P"
        $auto = /;NAuto_?open/ nocase
        $run = /;E(EXEC|CALL|REGISTER)\(/ nocase
    condition:
        $head at 0 and filesize < 4MB and $auto and $run
}

rule Office_Dde_Field_Command
{
    meta:
        description = "A field of a Word document that starts a command by dynamic data exchange"
        malware = "Trojan.DDE.Word"
        author = "kiyome"
        date = "2026-11-23"
        reference = "Microsoft Security Advisory 4053440; ATT&CK T1559.002"
        severity = 85
    strings:
        $binary = /(\x13DDE|\x13 DDE)(AUTO)? {1,4}[^\x13\x14\x15]{0,120}(cmd|powershell|mshta|rundll32|regsvr32|wscript|cscript)/ ascii wide nocase
        $xml = /<w:instrText[^>]{0,60}> {0,4}DDE(AUTO)? {1,4}[^<]{0,120}(cmd|powershell|mshta|rundll32|regsvr32|wscript|cscript)/ nocase
        $simple = /w:instr=" {0,4}DDE(AUTO)? {1,4}[^>]{0,120}(cmd|powershell|mshta|rundll32|regsvr32|wscript|cscript)/ nocase
    condition:
        filesize < 64MB and ((office_ole and $binary) or (office_markup and ($xml or $simple)))
}

rule Office_Dde_Link_Command
{
    meta:
        description = "An external link of a workbook that starts a command by dynamic data exchange"
        malware = "Trojan.DDE.Excel"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ISO/IEC 29500-1 18.14.4 (ddeLink); ATT&CK T1559.002"
        severity = 85
    strings:
        $link = /ddeService="(cmd|powershell|mshta|rundll32|regsvr32|wscript|cscript|msiexec|certutil)/ nocase
    condition:
        office_markup and
        filesize < 4MB and $link
}

rule Office_Dde_Table_Command
{
    meta:
        description = "A table in text form with a formula that starts a command fetching something"
        malware = "Trojan.DDE.CSV"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1559.002"
        severity = 80
    strings:
        $cell1 = /[=+\-@][^\r\n|]{0,40}(cmd|cmd\.exe)\|'/ nocase
        $cell2 = /[=+\-@][^\r\n|]{0,40}(powershell|mshta|rundll32|regsvr32|certutil)(\.exe)?\|'/ nocase
        $fetch1 = "http" nocase
        $fetch2 = "powershell" nocase
        $fetch3 = "mshta" nocase
        $fetch4 = "certutil" nocase
        $fetch5 = "bitsadmin" nocase
    condition:
        filesize < 4MB and any of ($cell*) and any of ($fetch*) and filename matches /\.(csv|slk|iqy|dif|tsv|xls)[ .]*$/i
}

rule Office_Remote_Template_Numbered_Host
{
    meta:
        description = "A document that loads its template from a host given by number, or from something that is no template"
        malware = "Trojan.Office.RemoteTemplate"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1221"
        severity = 80
    strings:
        $kind = "relationships/attachedTemplate"
        $number = /Target="https?:\/\/[0-9]{1,3}(\.[0-9]{1,3}){3}[:\/]/ nocase
        $other = /Target="https?:\/\/[^"]{3,190}\.(rtf|html?|php|hta|jpe?g|png|gif|txt|asp)"/ nocase
        $outside = "TargetMode=\"External\"" nocase
    condition:
        office_markup and
        filesize < 64KB and $kind and $outside and ($number or $other)
}

rule Office_Remote_Template : heuristic
{
    meta:
        description = "A document that loads its template over the web, as those of some companies do"
        malware = "Heur.Office.RemoteTemplate"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1221"
        severity = 40
        score = 50
    strings:
        $kind = /relationships\/attachedTemplate"[^>]{0,40}Target="https?:/ nocase
    condition:
        office_markup and
        filesize < 64KB and $kind
}

rule Office_Remote_Object_Script
{
    meta:
        description = "A document that loads a linked object which is a script or an HTML page of the internet"
        malware = "Exploit.Office.RemoteObject"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2021-40444; CVE-2022-30190; CVE-2017-0199"
        severity = 90
    strings:
        $kind = "relationships/oleObject"
        $outside = "TargetMode=\"External\"" nocase
        $mhtml = /Target="mhtml:https?:/ nocase
        $page = /Target="https?:\/\/[^"]{3,190}(\.html?!|\.hta|\.sct|\.wsf|!x-usc:)/ nocase
        $script = /Target="script:https?:/ nocase
    condition:
        office_markup and
        filesize < 256KB and $kind and $outside and any of ($mhtml, $page, $script)
}

rule Office_Package_Program
{
    meta:
        description = "A packaged object that holds a Windows program"
        malware = "Trojan.Office.Package"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-OLEDS 2.3.6; ATT&CK T1204.002"
        severity = 75
    strings:
        $package = "Ole10Native" wide
        $name = /\.(exe|scr|com|pif|cpl)\x00/ nocase
        $program1 = "rogram cannot be run in DOS mode"
        $program2 = "This program must be run under Win32"
    condition:
        office_ole and $package and $name and any of ($program*)
}

rule Office_Package_Script
{
    meta:
        description = "A packaged object that holds a script or an HTML application"
        malware = "Trojan.Office.Package.Script"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-OLEDS 2.3.6; ATT&CK T1204.002"
        severity = 80
    strings:
        $package = "Ole10Native" wide
        $name = /\.(js|jse|vbs|vbe|wsf|hta|sct)\x00/ nocase
        $deed1 = "WScript.Shell" nocase
        $deed2 = "ActiveXObject" nocase
        $deed3 = "CreateObject" nocase
        $deed4 = "powershell" nocase
        $deed5 = "GetObject(" nocase
    condition:
        office_ole and $package and $name and any of ($deed*)
}

// A font record has room for 40 bytes of name (MTEF 3). No document of the
// editor itself writes more.
rule Office_Equation_Font_Overflow
{
    meta:
        description = "An object for Microsoft's equation editor whose font name overruns its buffer"
        malware = "Exploit.Office.EquationEditor"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2017-11882; CVE-2018-0802"
        severity = 95
    strings:
        $font = /\x03\x01[\x01\x00]\x03[\x00-\x20]\x0A?\x01?\x08[\x00-\xFF]{2}[^\x00]{48}/
        $head = { 1C 00 00 00 02 00 }
    condition:
        (office_ole or uint32(0) == 0x1C) and filesize < 16MB and $font and for any i in (1..#font) : ( $head in (@font[i] - 32..@font[i]) )
}

rule Office_Equation_Foreign_Stream : heuristic
{
    meta:
        description = "An object of the equation editor that has a foreign stream in place of an equation"
        malware = "Heur.Exploit.EquationEditor"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2017-11882; CVE-2018-0802"
        severity = 80
    strings:
        $class = { 02 CE 02 00 00 00 00 00 C0 00 00 00 00 00 00 46 }
        $foreign = "Ole10Native" wide nocase
        $equation = "Equation Native" wide
        $document1 = "WordDocument" wide
        $document2 = "Workbook" wide
        $document3 = "PowerPoint Document" wide
    condition:
        office_ole and filesize < 512KB and $class and $foreign and not $equation and none of ($document*)
}

rule Office_Msdt_Command
{
    meta:
        description = "A page that starts the support diagnostic tool with a command in its parameters"
        malware = "Exploit.HTML.Msdt"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2022-30190"
        severity = 95
    strings:
        $open = /location(\.href)? {0,2}= {0,2}["'`]ms-msdt:/ nocase
        $open2 = /src {0,2}= {0,2}["']?ms-msdt:/ nocase
        $browse = /IT_(Re)?BrowseForFile=/ nocase
        $nest = /IT_[a-z]{4,20}=[^"'`\r\n]{0,190}\$\(/ nocase
    condition:
        office_markup and
        filesize < 4MB and any of ($open*) and $browse and $nest
}
