// HTML and SVG that carry a file, run a command or send the reader on in hiding.
// Reports and notebooks build files for download too: a rule asks for a payload
// of a kind that no report makes.

// Markup stands at the start, behind a little white space or a byte order mark. A
// letter that quotes a page is no page.
private rule html_page
{
    condition:
        filesize < 64MB and
        (uint8(0) == 0x3C or uint32be(0) == 0xEFBBBF3C or (uint8(0) <= 0x20 and (uint8(1) == 0x3C or uint8(2) == 0x3C or uint8(3) == 0x3C or uint8(4) == 0x3C)) or
         filename matches /\.(s?html?|xht|xhtml|svgz?|mht|mhtml)[ .]*$/i)
}

rule Html_Smuggled_Program
{
    meta:
        description = "A page that puts a program, shortcut or disk image together in the browser and has it saved"
        malware = "Trojan.HTML.Smuggling"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1027.006"
        severity = 90
    strings:
        $make1 = "createObjectURL" nocase
        $make2 = "msSaveBlob" nocase
        $make3 = "msSaveOrOpenBlob" nocase
        $decode1 = "atob("
        $decode2 = "Uint8Array" nocase
        $decode3 = "charCodeAt" nocase
        $program = /["'`](data:[a-z\/\-.+]{3,60};base64,)?TV[opqr][AEIMQUYcgkosw0-9][A-Za-z0-9+\/\\\r\n]{60}/
        $link = /["'`](data:[a-z\/\-.+]{3,60};base64,)?TAAAAAEUAgAAAAAAwAAAAAAAAE[YZab]/
        $rar = /["'`](data:[a-z\/\-.+]{3,60};base64,)?UmFyIRoH[A-Za-z0-9+\/\\\r\n]{60}/
        $seven = /["'`](data:[a-z\/\-.+]{3,60};base64,)?N3q8ryc[A-Za-z0-9+\/\\\r\n]{60}/
        $image = "\x01CD001\x01\x00" base64
        $disk = "vhdxfile" base64
        $save1 = ".click()" nocase
        $save2 = "dispatchEvent" nocase
        $save3 = "msSave" nocase
        $save4 = "location" nocase
    condition:
        html_page and
        any of ($make*) and any of ($decode*) and any of ($save*) and
        any of ($program, $link, $rar, $seven, $image, $disk)
}

rule Html_Smuggled_Archive
{
    meta:
        description = "A page that puts an archive together in the browser and has it saved at once under the name of an archive or script"
        malware = "Trojan.HTML.Smuggling.Archive"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1027.006"
        severity = 85
    strings:
        $make1 = "createObjectURL" nocase
        $make2 = "msSaveBlob" nocase
        $make3 = "msSaveOrOpenBlob" nocase
        $decode1 = "atob("
        $decode2 = "fromCharCode" nocase
        $decode3 = "charCodeAt" nocase
        $zip = /["'`](data:[a-z\/\-.+]{3,60};base64,)?UEsDB[A-Za-z0-9+\/\\\r\n]{200}/
        $name = /["'`][^"'`\r\n<>\\]{1,80}\.(zip|iso|img|vhdx?|rar|7z|jse|vbs|wsf|hta|lnk|exe|scr)["'`]/ nocase
        $save1 = ".click()" nocase
        $save2 = "msSave" nocase
        $save3 = "dispatchEvent" nocase
        $library = "JSZip" nocase
    condition:
        html_page and
        any of ($make*) and any of ($decode*) and $zip and $name and any of ($save*) and not $library
}

rule Html_Data_Link_Program
{
    meta:
        description = "A page with a link whose address is a Windows program itself"
        malware = "Trojan.HTML.DataProgram"
        author = "kiyome"
        date = "2026-11-23"
        reference = "RFC 2397; ATT&CK T1027.006"
        severity = 85
    strings:
        $link = /(href|src|data) {0,2}= {0,2}["']?data:[a-z\/\-.+;=]{0,60};base64,TV[opqr][AEIMQUYcgkosw0-9][A-Za-z0-9+\/%\r\n]{60}/ nocase
        $shell = /(href|src|data) {0,2}= {0,2}["']?data:[a-z\/\-.+;=]{0,60};base64,TAAAAAEUAgAAAAAAwAAAA/ nocase
    condition:
        html_page and
        filesize < 64MB and any of them
}

rule Html_Script_Holds_Program
{
    meta:
        description = "A page whose VBScript writes a Windows program to disk and runs it"
        malware = "Trojan.HTML.Dropper"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1059.005, T1027.009"
        severity = 90
    strings:
        $script = "<script" nocase
        $hex = /["']4D5A(90000300000004000000FFFF|50000200000004000F00FFFF|80000100000004001000FFFF)/ nocase
        $write1 = "Scripting.FileSystemObject" nocase
        $write2 = "ADODB.Stream" nocase
        $run1 = "WScript.Shell" nocase
        $run2 = "Shell.Application" nocase
    condition:
        html_page and
        filesize < 64MB and $script and $hex and any of ($write*) and any of ($run*)
}

rule Html_Ramnit
{
    meta:
        description = "The script that the file infector Ramnit appends to HTML files"
        malware = "VBS.Ramnit"
        author = "kiyome"
        date = "2026-11-23"
        reference = "W32.Ramnit"
        severity = 90
    strings:
        $name = "DropFileName = \"svchost.exe\"" nocase
        $data = "WriteData = \"4D5A" nocase
        $run = "WSHshell.Run DropPath" nocase
    condition:
        html_page and
        filesize < 16MB and $data and any of ($name, $run)
}

rule Html_Shell_Downloader
{
    meta:
        description = "A page whose script fetches a file through ActiveX, writes it to disk and runs it"
        malware = "Trojan.HTML.Downloader"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2006-0003; ATT&CK T1189"
        severity = 85
    strings:
        $script = "<script" nocase
        $rds = "BD96C556-65A3-11D0-983A-00C04FC29E36" nocase
        $object1 = "CreateObject(" nocase
        $object2 = "ActiveXObject(" nocase
        $get = "XMLHTTP" nocase
        $stream = "ADODB.Stream" nocase
        $save = "SaveToFile" nocase
        $run1 = "ShellExecute" nocase
        $run2 = "WScript.Shell" nocase
    condition:
        html_page and
        filesize < 4MB and $script and $get and any of ($object*) and
        (($stream and $save and any of ($run*)) or ($rds and any of ($stream, $save, $run1, $run2)))
}

rule Html_Runs_PowerShell
{
    meta:
        description = "A page whose script starts PowerShell to fetch or decode code"
        malware = "Trojan.HTML.PowerShell"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1059.005, T1059.001"
        severity = 85
    strings:
        $script = "<script" nocase
        $shell1 = /(CreateObject|ActiveXObject) {0,2}\( {0,2}["']WScript\.Shell["']/ nocase
        $shell2 = /(CreateObject|ActiveXObject) {0,2}\( {0,2}["']Shell\.Application["']/ nocase
        $run = /powershell[^\r\n]{0,200}(DownloadString|DownloadFile|FromBase64String|Invoke-WebRequest|Invoke-Expression| -e(nc|ncodedcommand)? [A-Za-z0-9+\/]{40})/ nocase
    condition:
        html_page and
        filesize < 4MB and $script and any of ($shell*) and $run
}

rule Html_Remote_Search
{
    meta:
        description = "A page that opens the file manager on a WebDAV server through a search address"
        malware = "Trojan.HTML.SearchMs"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1204.002; search-ms protocol"
        severity = 85
    strings:
        $open = /(location(\.href)?|src|href|url) {0,2}= {0,2}["'`]?search(-ms)?:[^"'`>\r\n]{0,190}crumb=location:(\\\\|\/\/|%5c%5c){1,2}[^"'`>\r\n]{3,80}(@(80|443|ssl)|%40(80|443|ssl)|davwwwroot)/ nocase
    condition:
        html_page and
        filesize < 4MB and $open
}

// What the reader is told to paste into the Run window (Windows+R) must itself be
// hidden or remote; pages that explain an installation show plain commands.
rule Html_Paste_And_Run
{
    meta:
        description = "A page that copies a hidden command and tells the reader to run it"
        malware = "Trojan.HTML.PasteAndRun"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1204.004"
        severity = 80
    strings:
        $script = "<script" nocase
        $copy1 = "clipboard.writeText" nocase
        $copy2 = /execCommand\( {0,2}["']copy["']/ nocase
        $press1 = "Win + R" nocase
        $press2 = "Win+R" nocase
        $press3 = "Windows + R" nocase
        $press4 = "Windows+R" nocase
        $press5 = "Key + R" nocase
        $press6 = "Key+R" nocase
        $press7 = /(Win|Windows)<\/[a-z]{1,6}> {0,2}\+ {0,2}<[a-z]{1,6}>R</ nocase
        $paste = /Ctrl(<\/[a-z]{1,6}>)? {0,2}\+ {0,2}(<[a-z]{1,6}>)?V\b/ nocase
        $run1 = /powershell(\.exe)? [^\r\n]{0,60}-w[a-z]{0,10} {1,3}(hidden|h|1) [^\r\n]{0,400}(https?:|iex|irm|iwr| -e)/ nocase
        $run2 = /mshta(\.exe)? {1,3}["'\\]{0,2}https?:/ nocase
        $run3 = /conhost(\.exe)? {1,3}--headless [^\r\n]{0,60}(powershell|cmd|mshta)/ nocase
    condition:
        html_page and
        filesize < 4MB and $script and any of ($copy*) and any of ($press*) and $paste and any of ($run*)
}

rule Html_Frame_Runs_Attachment
{
    meta:
        description = "A page with an invisible frame that opens an attachment of its own message"
        malware = "Exploit.HTML.IFrame"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2001-0154; RFC 2392"
        severity = 85
    strings:
        $frame1 = /<iframe {1,3}src {0,2}= {0,2}["']?cid:[^ >]{1,100} {1,3}(height|width) {0,2}= {0,2}["']?0/ nocase
        $frame2 = /<iframe {1,3}(height|width) {0,2}= {0,2}["']?0["']? [^>]{0,60}src {0,2}= {0,2}["']?cid:/ nocase
    condition:
        html_page and
        filesize < 4MB and any of them
}

rule Svg_Script_Sends_On
{
    meta:
        description = "A picture whose script decodes an address or a page and goes there"
        malware = "Trojan.SVG.Redirect"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1027.017; SVG 1.1, section 18"
        severity = 80
    strings:
        $svg = "<svg" nocase
        $script = "<script" nocase
        $decode1 = "atob("
        $decode2 = /fromCharCode\([^)\r\n]{0,60}\^/
        $decode3 = /charCodeAt\([^)\r\n]{0,30}\) {0,2}\^/
        $decode4 = /parseInt\([^)\r\n]{1,60}, {0,2}16 {0,2}\)/
        $go1 = /location(\.href)? {0,2}= {0,2}[^=]/
        $go2 = /location\.(replace|assign)\(/
        $go3 = /location\[["'`]/
        $go4 = "document.write("
        $go5 = "eval("
        $go6 = /\bFunction\(/
    condition:
        filesize < 4MB and $svg in (0..4096) and $script and
        any of ($decode*) and any of ($go*) and filename matches /\.svgz?[ .]*$/i
}

rule Svg_Smuggled_File
{
    meta:
        description = "A picture whose script puts a file together and has it saved"
        malware = "Trojan.SVG.Smuggling"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1027.006, T1027.017"
        severity = 85
    strings:
        $svg = "<svg" nocase
        $script = "<script" nocase
        $decode = "atob("
        $make = "createObjectURL"
        $save1 = ".click()"
        $save2 = "dispatchEvent("
        $zip = /UEsDB[A-Za-z0-9+\/]{200}/
        $rar = /UmFyIRoH[A-Za-z0-9+\/]{200}/
        $program = /["'`]TV[opqr][AEIMQUYcgkosw0-9][A-Za-z0-9+\/]{200}/
    condition:
        html_page and
        $svg in (0..1024) and filesize < 32MB and $script and $decode and $make and any of ($save*) and any of ($zip, $rar, $program)
}
