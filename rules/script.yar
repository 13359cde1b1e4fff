// Scripts that fetch and run. A script does harm only under a name that its
// host takes, so most rules ask for one: a text that quotes the same lines stays
// clean. Fetching and running alone is what administrators do; a rule also asks
// for concealment.

private rule script_name
{
    condition:
        filesize < 8MB and filename matches /\.(ps1|psm1|bat|cmd|vbs|vbe|js|jse|wsf|wsh|hta|sct|wsc)[ .]*$/i
}

private rule script_host_name
{
    condition:
        filesize < 8MB and filename matches /\.(vbs|vbe|js|jse|wsf|wsh|hta|sct|wsc)[ .]*$/i
}

private rule script_batch_name
{
    condition:
        filesize < 8MB and filename matches /\.(bat|cmd)[ .]*$/i
}

rule Script_PowerShell_Hidden_Download_Run
{
    meta:
        description = "A script that starts PowerShell in a hidden window, fetches something and runs it"
        malware = "Script.Downloader.PowerShell"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1059.001, T1564.003, T1105"
        severity = 85
    strings:
        $shell = "powershell" ascii wide nocase
        $hidden1 = "-w hidden" ascii wide nocase
        $hidden2 = "-win hidden" ascii wide nocase
        $hidden3 = "-windowstyle hidden" ascii wide nocase
        $hidden4 = "-windowstyle h " ascii wide nocase
        $hidden5 = "-w 1 " ascii wide nocase
        $get1 = "downloadstring" ascii wide nocase
        $get2 = "downloadfile" ascii wide nocase
        $get3 = "downloaddata" ascii wide nocase
        $get4 = "invoke-webrequest" ascii wide nocase
        $get5 = "invoke-restmethod" ascii wide nocase
        $get6 = "start-bitstransfer" ascii wide nocase
        $get7 = /\b(iwr|irm) {1,3}["'(]{0,2}https?:/ ascii wide nocase
        $run1 = "invoke-expression" ascii wide nocase
        $run2 = /\biex\b/ ascii wide nocase
        $run3 = "start-process" ascii wide nocase
        $run4 = "[scriptblock]::create" ascii wide nocase
        $run5 = "invoke-item" ascii wide nocase
    condition:
        script_name and $shell and any of ($get*) and any of ($run*) and
        for any of ($hidden*) : ( for any i in (1..#) : ( $shell in (@[i] - 120..@[i] + 400) ) )
}

rule Script_PowerShell_Encoded_Download
{
    meta:
        description = "A script with a Base64 command for PowerShell that fetches or unpacks code"
        malware = "Script.Downloader.PowerShell.Encoded"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1059.001, T1027.010"
        severity = 85
    strings:
        $shell = /powershell(\.exe)?["']?[^\r\n]{0,120} [-\/](e|ec|en|enc|enco|encod|encode|encoded|encodedcommand) {1,3}["']?[A-Za-z0-9+\/]{60}/ nocase
        $get1 = "DownloadString" wide base64
        $get2 = "DownloadFile" wide base64
        $get3 = "DownloadData" wide base64
        $get4 = "downloadstring" wide base64
        $get5 = "downloadfile" wide base64
        $get6 = "FromBase64String" wide base64
        $get7 = "Invoke-WebRequest" wide base64
        $get8 = "Net.WebClient" wide base64
    condition:
        script_name and $shell and any of ($get*)
}

rule Script_PowerShell_Hidden_Name_Of_Iex
{
    meta:
        description = "PowerShell that puts the name of Invoke-Expression together from letters of system variables"
        malware = "Script.Obfuscated.PowerShell"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1027.010"
        severity = 80
    strings:
        $shellid = /\$shellid\[1\] {0,2}\+ {0,2}\$shellid\[13\]/ ascii wide nocase
        $pshome = /\$pshome\[(4|21)\] {0,2}\+ {0,2}\$pshome\[(30|34)\]/ ascii wide nocase
        $comspec = /\$env:comspec\[(4|26), {0,2}(15|26|24|4), {0,2}(25|24|26)\] {0,2}-join/ ascii wide nocase
        $verbose = /verbosepreference\.tostring\(\) {0,2}\)? {0,2}\[1, {0,2}3\] {0,2}\+ {0,2}["']x["']/ ascii wide nocase
    condition:
        script_name and any of them
}

rule Script_PowerShell_Amsi_Bypass
{
    meta:
        description = "PowerShell that switches off the scanner of script hosts before going on"
        malware = "Script.PowerShell.AmsiBypass"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1562.001"
        severity = 85
    strings:
        $class = "System.Management.Automation.AmsiUtils" ascii wide nocase
        $field = "amsiInitFailed" ascii wide nocase
        $set = "SetValue" ascii wide nocase
        $private = "NonPublic" ascii wide nocase
    condition:
        script_name and all of them
}

rule Script_PowerShell_Load_Program
{
    meta:
        description = "PowerShell that loads a program from Base64 text into memory and calls its entry point"
        malware = "Script.PowerShell.Loader"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1620"
        severity = 85
    strings:
        $load1 = "Reflection.Assembly]::Load(" ascii wide nocase
        $load2 = "AppDomain]::CurrentDomain.Load(" ascii wide nocase
        $text = "FromBase64String" ascii wide nocase
        $entry = "EntryPoint.Invoke" ascii wide nocase
    condition:
        script_name and any of ($load*) and $text and $entry
}

rule Script_PowerShell_Shellcode
{
    meta:
        description = "PowerShell that writes machine code into executable memory and starts a thread there"
        malware = "Script.PowerShell.Shellcode"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1055, T1106"
        severity = 85
    strings:
        $alloc = "VirtualAlloc" ascii wide nocase
        $thread = "CreateThread" ascii wide nocase
        $copy1 = "Marshal]::Copy" ascii wide nocase
        $copy2 = "RtlMoveMemory" ascii wide nocase
        $code1 = /0xfc, {0,2}0x(e8|48), {0,2}0x(8[0-9a-f])/ ascii wide nocase
        $code2 = "FromBase64String" ascii wide nocase
        $code3 = "/OiCAAAA"
        $code4 = "/EiD5PDo"
    condition:
        script_name and $alloc and $thread and any of ($copy*) and any of ($code*)
}

rule Script_Regsvr32_Remote_Scriptlet
{
    meta:
        description = "Runs a remote scriptlet through regsvr32"
        malware = "Script.Downloader.Regsvr32"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1218.010"
        severity = 85
    strings:
        $run = /regsvr32(\.exe)?["']?[^\r\n]{0,60}[\/-]i:["']?(https?|ftp):[^\r\n]{1,200}scrobj/ ascii wide nocase
    condition:
        script_name and $run
}

rule Script_Rundll32_Html_Application
{
    meta:
        description = "Runs script text through rundll32 and the HTML engine"
        malware = "Script.Rundll32.JavaScript"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1218.011"
        severity = 85
    strings:
        $run = /rundll32(\.exe)?["']? {1,3}["']?javascript:[^\r\n]{0,20}\.\.[^\r\n]{0,20}mshtml, ?RunHTMLApplication/ ascii wide nocase
    condition:
        script_name and $run
}

rule Script_Remote_Library
{
    meta:
        description = "Loads a library from a WebDAV server of the internet"
        malware = "Script.Downloader.WebDAV"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1218.011, T1570"
        severity = 80
    strings:
        $run = /(rundll32|regsvr32)(\.exe)?["']?[^\r\n]{0,40}\\\\[^\\\r\n ]{3,80}(@(80|443|SSL|[0-9]{4,5}))(@(80|443|[0-9]{4,5}))?\\/ ascii wide nocase
        $dav = /(rundll32|regsvr32)(\.exe)?["']?[^\r\n]{0,40}\\\\[^\\\r\n ]{3,80}\\davwwwroot\\/ ascii wide nocase
    condition:
        script_name and any of them
}

rule Script_Mshta_Remote
{
    meta:
        description = "Runs an HTML application straight from the internet"
        malware = "Script.Downloader.Mshta"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1218.005"
        severity = 80
    strings:
        $run = /mshta(\.exe)?["']{0,2} {1,3}["']{0,2}https?:\/\// ascii wide nocase
    condition:
        script_name and $run
}

rule Script_Wmic_Remote_Stylesheet
{
    meta:
        description = "Runs a remote style sheet through wmic"
        malware = "Script.Downloader.Wmic"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1220"
        severity = 80
    strings:
        $run = /wmic(\.exe)?["']? [^\r\n]{1,60}\/format: ?["']{0,2}https?:/ ascii wide nocase
    condition:
        script_name and $run
}

rule Script_Batch_Download_Hidden_Folder
{
    meta:
        description = "A batch file that fetches a program with certutil, bitsadmin or curl into a temporary or public folder and starts it from there"
        malware = "Script.Downloader.Batch"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1105, T1197, T1059.003"
        severity = 80
    strings:
        $get1 = /certutil(\.exe)? [^\r\n]{0,80}urlcache [^\r\n]{0,80}https?:\/\/[^\r\n]{4,190} "?(%(te?mp|appdata|localappdata|public|programdata)%|c:\\(users\\public|programdata|windows\\temp))/ nocase
        $get2 = /bitsadmin(\.exe)? [^\r\n]{0,80}\/transfer [^\r\n]{0,80}https?:\/\/[^\r\n]{4,190} "?(%(te?mp|appdata|localappdata|public|programdata)%|c:\\(users\\public|programdata|windows\\temp))/ nocase
        $get3 = /curl(\.exe)? [^\r\n]{0,190}-o ?"?(%(te?mp|appdata|localappdata|public|programdata)%|c:\\(users\\public|programdata|windows\\temp))/ nocase
        $run = /(start|call|rundll32|regsvr32|wscript|cscript|mshta|cmd \/c) [^\r\n]{0,40}(%(te?mp|appdata|localappdata|public|programdata)%|c:\\(users\\public|programdata|windows\\temp))\\[^\r\n\\]{1,60}\.(exe|dll|scr|vbs|js|hta|bat|cmd|ps1|com)/ nocase
        $hide1 = "attrib +h" nocase
        $hide2 = "start /b" nocase
        $hide3 = "start /min" nocase
        $hide4 = "-windowstyle hidden" nocase
        $hide5 = "-w hidden" nocase
        $hide6 = "del \"%~f0\"" nocase
        $hide7 = "del %0" nocase
    condition:
        script_batch_name and filesize < 200KB and any of ($get*) and $run and any of ($hide*)
}

rule Script_Batch_Certificate_Program
{
    meta:
        description = "A batch file that holds a program dressed as a certificate and decodes it with certutil"
        malware = "Script.Dropper.Certutil"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1140; RFC 7468"
        severity = 90
    strings:
        $dress = /-----BEGIN CERTIFICATE-----\r?\nTV[opqr][A-Za-z0-9+\/]{40}/
        $decode = /certutil(\.exe)?["']? {1,3}[-\/]decode/ nocase
    condition:
        script_name and $dress and $decode
}

rule Script_Batch_False_Byte_Order_Mark
{
    meta:
        description = "A batch file behind a UTF-16 byte order mark and a cleared screen, so that editors show it as Chinese"
        malware = "Script.Obfuscated.Batch.BOM"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1027"
        severity = 75
    strings:
        $start = /\xFF\xFE[\r\n]{0,4}&@?cls/ nocase
    condition:
        $start at 0 and filesize < 8MB
}

rule Script_Batch_Letters_Of_Variables : heuristic
{
    meta:
        description = "A batch file spelled out letter by letter from substrings of a variable"
        malware = "Heur.Script.Obfuscated.Batch"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1027.010"
        severity = 75
    strings:
        $letter = ",1%%"
    condition:
        script_batch_name and #letter > 60
}

rule Script_Host_Download_Save_Run
{
    meta:
        description = "A script that fetches a file, writes it to disk and runs it through the Windows Script Host"
        malware = "Script.Downloader.WSH"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1059.005, T1059.007, T1105"
        severity = 85
    strings:
        $get1 = "XMLHTTP" ascii wide nocase
        $get2 = "WinHttp.WinHttpRequest" ascii wide nocase
        $stream = "ADODB.Stream" ascii wide nocase
        $save = "SaveToFile" ascii wide nocase
        $shell1 = "WScript.Shell" ascii wide nocase
        $shell2 = "Shell.Application" ascii wide nocase
        $run1 = /\.Run\b/ ascii wide nocase
        $run2 = "ShellExecute" ascii wide nocase
        $run3 = /\.Exec\b/ ascii wide nocase
    condition:
        script_host_name and any of ($get*) and $stream and $save and any of ($shell*) and any of ($run*)
}

rule Script_Host_Starts_PowerShell
{
    meta:
        description = "A script for the Windows Script Host that starts a hidden PowerShell to fetch or decode code"
        malware = "Script.Downloader.WSH.PowerShell"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1059.005, T1059.001"
        severity = 80
    strings:
        $shell1 = "WScript.Shell" ascii wide nocase
        $shell2 = "Shell.Application" ascii wide nocase
        $shell3 = "winmgmts:" ascii wide nocase
        $run = /powershell[^\r\n]{0,200}(DownloadString|DownloadFile|DownloadData|FromBase64String|Invoke-WebRequest|Invoke-RestMethod|\birm |\biwr )/ ascii wide nocase
        $deed1 = /\biex\b/ ascii wide nocase
        $deed2 = "Invoke-Expression" ascii wide nocase
        $deed3 = "Start-Process" ascii wide nocase
        $deed4 = "Reflection.Assembly" ascii wide nocase
    condition:
        script_host_name and any of ($shell*) and $run and any of ($deed*)
}

rule Script_Holds_Program
{
    meta:
        description = "A script that holds a whole Windows program as Base64 or hexadecimal text and writes or runs it"
        malware = "Script.Dropper"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1027.009; Microsoft PE Format"
        severity = 85
    strings:
        // the first bytes of nearly every linker's output, to the end of e_sp
        $base64_1 = "TVqQAAMAAAAEAAAA"
        $base64_2 = "TVpQAAIAAAAEAA8A"
        $base64_3 = "TVqAAAEAAAAEABAA"
        $hex1 = "4D5A90000300000004000000FFFF" nocase
        $hex2 = "4D5A50000200000004000F00FFFF" nocase
        $hex3 = "4D5A80000100000004001000FFFF" nocase
        $write1 = "WScript.Shell" ascii nocase
        $write2 = "ADODB.Stream" ascii nocase
        $write3 = "Scripting.FileSystemObject" ascii nocase
        $write4 = "WriteAllBytes" ascii nocase
        $write5 = "VirtualAlloc" ascii nocase
        $run1 = /\.Run\b/ ascii nocase
        $run2 = "ShellExecute" ascii nocase
        $run3 = "Start-Process" ascii nocase
        $run4 = "CreateThread" ascii nocase
        $run5 = "EntryPoint" ascii nocase
    condition:
        script_name and any of ($base64*, $hex*) and any of ($write*) and any of ($run*)
}

rule Script_Reversed_Names
{
    meta:
        description = "A script that writes the names of the objects it uses backwards"
        malware = "Script.Obfuscated.Reversed"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1027.010"
        severity = 80
    strings:
        $shell = "llehS.tpircSW" ascii wide nocase
        $powershell = "llehsrewop" ascii wide nocase
        $request = "PTTHLMX.2LMXSM" ascii wide nocase
        $stream = "maertS.BDODA" ascii wide nocase
    condition:
        script_name and any of them
}

rule Script_Split_Names
{
    meta:
        description = "A script that cuts the names of the objects it uses in pieces"
        malware = "Script.Obfuscated.Split"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1027.010"
        severity = 75
    strings:
        $script = /["']WScr["'] {0,2}[+&] {0,2}["']ipt\./ nocase
        $shell = /["']WScript\.?["'] {0,2}[+&] {0,2}["']\.?Sh?["'] {0,2}[+&] {0,2}["']h?ell["']/ nocase
        $power1 = /["']po?w?["'] {0,2}[+&] {0,2}["']o?w?ers["'] {0,2}[+&] {0,2}["']hell/ nocase
        $power2 = /["']power["'] {0,2}[+&] {0,2}["']shell/ nocase
        $stream = /["']ADOD?["'] {0,2}[+&] {0,2}["']D?B\.?["'] {0,2}[+&] {0,2}["']\.?St/ nocase
        $request = /["']MSXML2?["'] {0,2}[+&] {0,2}["']2?\.XML["'] {0,2}[+&] {0,2}["']HTTP/ nocase
    condition:
        script_name and any of them
}

rule Script_Vbs_Letters_By_Number : heuristic
{
    meta:
        description = "VBScript that puts text together from character numbers and executes it"
        malware = "Heur.Script.Obfuscated.VBS"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1027.010, T1059.005"
        severity = 75
    strings:
        $letter = /\bchrw?\( ?(&h)?[0-9a-f]{2,5} ?[)\-+*^\/]/ nocase
        $execute = /\bexecute(global)?[ (]/ nocase
    condition:
        filesize < 8MB and $execute and #letter > 100 and filename matches /\.(vbs|vbe|wsf|hta)[ .]*$/i
}

rule Script_Js_Decoded_For_Host : heuristic
{
    meta:
        description = "JScript that decodes text, evaluates it and reaches for the Windows Script Host"
        malware = "Heur.Script.Obfuscated.JS"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1027.010, T1059.007"
        severity = 75
    strings:
        $decode1 = "fromCharCode"
        $decode2 = "unescape("
        $decode3 = "parseInt("
        $eval1 = "eval("
        $eval2 = /\bFunction\(/
        $host1 = "WScript.CreateObject"
        $host2 = "WScript.Sleep" nocase
        $host3 = "WScript[" nocase
        $browser1 = "document"
        $browser2 = "window."
        $browser3 = "module.exports"
        $browser4 = "require("
    condition:
        filesize < 2MB and
        any of ($decode*) and any of ($eval*) and any of ($host*) and none of ($browser*) and filename matches /\.(js|jse|wsf)[ .]*$/i
}

rule Script_Encoded_By_Microsoft : heuristic
{
    meta:
        description = "A script encoded by the Windows Script Encoder, which mail has no use for"
        malware = "Heur.Script.Encoded"
        author = "kiyome"
        date = "2026-11-23"
        reference = "Windows Script Encoder; ATT&CK T1027"
        severity = 55
        score = 60
    strings:
        $mark = /#@~\^[A-Za-z0-9+\/]{6}==/
    condition:
        script_host_name and $mark
}

rule Script_Hta_Runs_Command
{
    meta:
        description = "An HTML application that keeps its window out of sight and runs a command with an address of the internet"
        malware = "Script.Downloader.HTA"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1218.005"
        severity = 85
    strings:
        $hide1 = /windowstate {0,2}= {0,2}["']?minimize/ ascii wide nocase
        $hide2 = /showintaskbar {0,2}= {0,2}["']?no/ ascii wide nocase
        $hide3 = "resizeTo(0" ascii wide nocase
        $hide4 = "resizeTo 0" ascii wide nocase
        $hide5 = "moveTo(-" ascii wide nocase
        $hide6 = "moveTo -" ascii wide nocase
        $shell1 = "WScript.Shell" ascii wide nocase
        $shell2 = "Shell.Application" ascii wide nocase
        $run1 = /(powershell|bitsadmin|certutil|curl|mshta)[^\r\n]{0,200}https?:\/\// ascii wide nocase
        $run2 = /powershell[^\r\n]{0,80} -e(nc|ncodedcommand|c)? [A-Za-z0-9+\/]{40}/ ascii wide nocase
    condition:
        filesize < 8MB and
        any of ($hide*) and any of ($shell*) and any of ($run*) and filename matches /\.hta[ .]*$/i
}

rule Script_Registry_Autorun_Command
{
    meta:
        description = "A registry file that makes Windows run PowerShell, an HTML application or a script from the internet at every logon"
        malware = "Trojan.Registry.Autorun"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1547.001"
        severity = 80
    strings:
        $key = /\\CurrentVersion\\Run(Once)?\]/ ascii wide nocase
        $run = /(powershell|mshta|regsvr32|rundll32)[^\r\n]{0,190}(https?:\/\/| -enc? |DownloadString|FromBase64String)/ ascii wide nocase
    condition:
        filesize < 1MB and $key and $run and filename matches /\.reg[ .]*$/i
}
