// Shortcuts: Windows links, internet shortcuts, saved searches and settings that
// run a command when they are opened. People mail a shortcut by mistake where
// they meant the file: a link to a document or a plain program stays clean.

// Markup stands at the start: a letter that quotes it is no markup.
private rule shortcut_markup
{
    condition:
        uint8(0) == 0x3C or uint32be(0) == 0xEFBBBF3C or (uint8(0) <= 0x20 and (uint8(1) == 0x3C or uint8(2) == 0x3C or uint8(3) == 0x3C or uint8(4) == 0x3C))
}

private rule shortcut_link
{
    condition:
        uint32(0) == 0x0000004C and uint32(4) == 0x00021401 and uint32(12) == 0x000000C0 and uint32be(16) == 0x00000046 and filesize < 64MB
}

rule Shortcut_Windows : info
{
    meta:
        description = "A Windows shell link"
        malware = "Info.Shortcut.Windows"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-SHLLINK"
        severity = 10
        score = 20
    condition:
        shortcut_link
}

rule Shortcut_PowerShell_Download
{
    meta:
        description = "A Windows shortcut that makes PowerShell fetch or decode code"
        malware = "Trojan.Lnk.PowerShell"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-SHLLINK; ATT&CK T1204.002, T1059.001"
        severity = 85
    strings:
        $shell1 = "powershell" ascii wide nocase
        $shell2 = "pwsh.exe" ascii wide nocase
        $get1 = "https://" wide nocase
        $get2 = "http://" wide nocase
        $get3 = "downloadstring" wide nocase
        $get4 = "downloadfile" wide nocase
        $get5 = "frombase64string" wide nocase
        $get6 = /-e(nc|c|ncodedcommand)? [A-Za-z0-9+\/]{40}/ wide nocase
        $get7 = "readallbytes" wide nocase
        $get8 = "[char]" wide nocase
    condition:
        shortcut_link and any of ($shell*) and any of ($get*)
}

rule Shortcut_Runs_Remote
{
    meta:
        description = "A Windows shortcut that runs something from the internet through a program of the system"
        malware = "Trojan.Lnk.Download"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-SHLLINK; ATT&CK T1218"
        severity = 85
    strings:
        $run1 = /(mshta|msiexec|bitsadmin|certutil|curl|wscript|cscript|regsvr32|rundll32|forfiles|pcalua|wmic|conhost|ftp)(\.exe)?[^\x00]{0,200}https?:\/\// wide nocase
        $host1 = /(mshta|msiexec|bitsadmin|certutil|curl|forfiles|conhost|cmd|wscript|cscript|regsvr32|rundll32)\.exe/ ascii wide nocase
        $web1 = "https://" wide nocase
        $web2 = "http://" wide nocase
        $dav = /\\\\[^\\\x00]{3,80}@(80|443|ssl|[0-9]{4,5})(@[0-9]{2,5})?\\/ wide nocase
        $davroot = "\\davwwwroot\\" wide nocase
    condition:
        shortcut_link and ($run1 or ($host1 and (any of ($web*) or $dav or $davroot)))
}

rule Shortcut_Command_Chain
{
    meta:
        description = "A Windows shortcut that starts a command processor which copies, decodes or starts a script or library"
        malware = "Trojan.Lnk.Command"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-SHLLINK; ATT&CK T1059.003"
        severity = 80
    strings:
        $shell = "cmd.exe" ascii wide nocase
        $once1 = "/c " wide nocase
        $once2 = "/c\"" wide nocase
        $once3 = "/r " wide nocase
        $deed1 = /(findstr|certutil|more) [^\x00]{1,200}>[^\x00]{1,100}\.(vbs|js|hta|ps1|bat|exe|dll|wsf)/ wide nocase
        $deed2 = /copy [^\x00]{1,200}(%te?mp%|%appdata%|%public%|programdata)[^\x00]{0,200}(start|wscript|cscript|rundll32|regsvr32|mshta)/ wide nocase
        $deed3 = /start [^\x00]{0,80}\.(vbs|vbe|js|jse|wsf|hta|scr|dll)\b/ wide nocase
        $deed4 = /(rundll32|regsvr32)(\.exe)? [^\x00]{1,120}\.(dll|dat|tmp|jpg|png|txt|ocx|log)\b/ wide nocase
        $deed5 = /(wscript|cscript|mshta)(\.exe)? [^\x00]{1,120}\.(vbs|vbe|js|jse|wsf|hta)\b/ wide nocase
    condition:
        shortcut_link and $shell and any of ($once*) and any of ($deed*)
}

rule Shortcut_Carries_Program
{
    meta:
        description = "A Windows shortcut with a whole program or archive behind it"
        malware = "Trojan.Lnk.Dropper"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-SHLLINK; ATT&CK T1027.009"
        severity = 85
    strings:
        $program = "rogram cannot be run in DOS mode"
        $program2 = "This program must be run under Win32"
        $zip = { 50 4B 03 04 14 00 }
        $cab = { 4D 53 43 46 00 00 00 00 }
        $pdf = "%PDF-1."
        $hta = "<hta:application" nocase
        $shell = /(cmd|powershell|mshta|wscript|rundll32)\.exe/ ascii wide nocase
    condition:
        shortcut_link and filesize > 8KB and $shell and any of ($program*, $zip, $cab, $pdf, $hta)
}

rule Shortcut_Internet_Remote_Program
{
    meta:
        description = "An internet shortcut that opens a program or script on a WebDAV server or on a numbered host"
        malware = "Trojan.Url.RemoteProgram"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2023-36025; CVE-2024-21412"
        severity = 80
    strings:
        $head = "[InternetShortcut]" nocase
        $dav = /\nURL {0,2}= {0,2}(file:)?[\/\\]{2,5}[^\r\n\/\\]{3,80}@(80|443|ssl|[0-9]{4,5})(@[0-9]{2,5})?[\/\\]/ nocase
        $number = /\nURL {0,2}= {0,2}(file:)?[\/\\]{2,5}[0-9]{1,3}(\.[0-9]{1,3}){3}[\/\\][^\r\n]{1,190}\.(exe|scr|pif|com|cpl|msi|js|jse|vbs|vbe|wsf|hta|cmd|bat|lnk|url|zip)\b/ nocase
    condition:
        filesize < 64KB and ($head in (0..64) or filename matches /\.(url|website)[ .]*$/i) and any of ($dav, $number)
}

rule Shortcut_Search_Remote
{
    meta:
        description = "A saved search or library that shows the files of a WebDAV server or of a numbered host as if they were local"
        malware = "Trojan.SearchMs.Remote"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2025-24071; ATT&CK T1204.002"
        severity = 80
    strings:
        $library = "<libraryDescription" nocase
        $search = "<persistedQuery" nocase
        $web = /<(url|path|include path="?)>? {0,2}https?:\/\// nocase
        $dav = /\\\\[^\\<"\r\n]{3,80}@(80|443|ssl|[0-9]{4,5})(@[0-9]{2,5})?\\/ nocase
        $davroot = "\\davwwwroot\\" nocase
        $number = /<url> {0,2}\\\\[0-9]{1,3}(\.[0-9]{1,3}){3}\\/ nocase
    condition:
        shortcut_markup and
        filesize < 64KB and ($library or $search) and any of ($web, $dav, $davroot, $number)
}

rule Shortcut_Setting_Runs_Command
{
    meta:
        description = "A settings shortcut whose link is a command"
        malware = "Trojan.SettingContent"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2018-8414"
        severity = 85
    strings:
        $head = "<PCSettings>" nocase
        $run = /<DeepLink>[^<]{0,120}(cmd|powershell|mshta|rundll32|wscript|cscript|regsvr32)(\.exe)?[^<]{0,400}[^<]{1,190}<\/DeepLink>/ nocase
    condition:
        shortcut_markup and
        filesize < 64KB and $head and $run
}

rule Shortcut_Console_Runs_Script
{
    meta:
        description = "A management console file that runs script through the redirect page of apds.dll"
        malware = "Exploit.MSC.GrimResource"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2024-43572"
        severity = 90
    strings:
        $head = "<MMC_ConsoleFile"
        $page = "res://apds.dll/redirect.html" ascii nocase
        $page2 = "apds.dll/redirect.html?target=javascript:" ascii nocase
    condition:
        shortcut_markup and
        $head and any of ($page*) and filesize < 16MB
}

rule Shortcut_Mac_Location_Runs_Program
{
    meta:
        description = "A Macintosh internet location that opens a file or program instead of an address"
        malware = "Trojan.Inetloc"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2021-30853; ATT&CK T1204.002"
        severity = 75
    strings:
        $head = "<plist" nocase
        $run = /<key>URL<\/key>\s{0,20}<string>file:\/{2,}[^<]{1,190}\.(app|command|terminal|tool|sh)\b/ nocase
    condition:
        filesize < 64KB and $head and $run and filename matches /\.(inetloc|fileloc|webloc)[ .]*$/i
}
