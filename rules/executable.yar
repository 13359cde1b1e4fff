// Programs that hide what they are. A plain program in a mail is a fact for the
// log, not a fault: only a name that lies about it condemns it.

private rule executable_windows
{
    condition:
        filesize > 64 and uint16(0) == 0x5A4D and uint32(0x3C) < filesize and uint32(uint32(0x3C)) == 0x00004550
}

private rule executable_unix
{
    condition:
        uint32(0) == 0x464C457F or
        uint32(0) == 0xFEEDFACE or uint32(0) == 0xFEEDFACF or uint32be(0) == 0xFEEDFACE or uint32be(0) == 0xFEEDFACF or
        // a universal Mach-O; a Java class has its version where that has a small count
        (uint32be(0) == 0xCAFEBABE and uint32be(4) < 20)
}

rule Executable_Windows : info
{
    meta:
        description = "A Windows program or library"
        malware = "Info.Executable.Windows"
        author = "kiyome"
        date = "2026-11-23"
        reference = "Microsoft PE Format"
        severity = 5
        score = 10
    condition:
        executable_windows
}

rule Executable_Unix : info
{
    meta:
        description = "An ELF or Mach-O program or library"
        malware = "Info.Executable.Unix"
        author = "kiyome"
        date = "2026-11-23"
        reference = "System V ABI; Mach-O file format"
        severity = 5
        score = 10
    condition:
        executable_unix
}

rule Executable_Installer_Msi : info
{
    meta:
        description = "A Windows Installer package by its name and content"
        malware = "Info.Installer.Msi"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-CFB; ATT&CK T1218.007"
        severity = 10
        score = 20
    condition:
        uint32be(0) == 0xD0CF11E0 and uint32be(4) == 0xA1B11AE1 and filename matches /\.ms[ip][ .]*$/i
}

// Archive endings are left out: self-extracting archives are called x.zip.exe.
rule Executable_Double_Extension : heuristic
{
    meta:
        description = "A program whose name shows the ending of a document before its own"
        malware = "Heur.Trojan.DoubleExtension"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1036.007"
        severity = 80
    condition:
        (executable_windows or executable_unix) and
        filename matches /\.(jpe?g|png|gif|bmp|tiff?|heic|pdf|docx?|xlsx?|pptx?|rtf|txt|csv|html?|mp3|mp4|wav|avi|mov|eml|msg|jtd|od[stp])[ _.]*\.(exe|scr|pif|com|cmd|bat|cpl)[ .]*$/i
}

rule Executable_Padded_Name : heuristic
{
    meta:
        description = "A program whose ending is pushed out of sight by a run of blanks in its name"
        malware = "Heur.Trojan.PaddedName"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1036.008"
        severity = 80
    condition:
        (executable_windows or executable_unix) and
        filename matches /( {10,}|_{20,})\.(exe|scr|pif|com|cmd|bat|cpl)[ .]*$/i
}

// U+202E and U+2067 turn the direction of what follows: "inv\u202Efdp.exe" shows as "invexe.pdf".
rule Name_Right_To_Left_Override
{
    meta:
        description = "The name of a program or script holds a character that turns the direction of writing, so that its ending shows elsewhere"
        malware = "Trojan.Name.RightToLeft"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1036.002; Unicode UAX 9"
        severity = 85
    condition:
        (filename contains "\xE2\x80\xAE" or filename contains "\xE2\x81\xA7") and
        filename matches /\.(exe|scr|com|pif|cpl|bat|cmd|js|jse|vbs|vbe|wsf|hta|lnk|ps1|msi|jar)[ .]*$/i
}

rule Executable_Windows_As_Screensaver : heuristic
{
    meta:
        description = "A Windows program sent as a screen saver"
        malware = "Heur.Trojan.Screensaver"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1546.002"
        severity = 75
    condition:
        executable_windows and filename matches /\.scr[ .]*$/i
}

rule Executable_Windows_As_Command : heuristic
{
    meta:
        description = "A Windows program under the ending of a DOS program, a batch file or a program information file"
        malware = "Heur.Trojan.CommandName"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1036.008"
        severity = 80
    condition:
        executable_windows and filename matches /\.(pif|com|bat|cmd)[ .]*$/i
}

// People rename programs so that a filter lets them pass: logged, not cut.
rule Executable_Named_Document : heuristic
{
    meta:
        description = "A program that bears the name of a document or a picture"
        malware = "Heur.Executable.NamedDocument"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1036.008"
        severity = 50
        score = 60
    condition:
        (executable_windows or executable_unix) and
        filename matches /\.(jpe?g|png|gif|pdf|docx?|xlsx?|pptx?|rtf|txt|csv|html?)[ .]*$/i
}

rule Executable_Excel_Addin : heuristic
{
    meta:
        description = "A library that Excel loads and runs when it is opened as an add-in"
        malware = "Heur.Addin.Excel"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1137.006"
        severity = 50
        score = 60
    condition:
        executable_windows and filename matches /\.xll[ .]*$/i
}

rule Executable_Control_Panel : heuristic
{
    meta:
        description = "A control panel item by mail"
        malware = "Heur.ControlPanel"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1218.002"
        severity = 50
        score = 60
    condition:
        executable_windows and filename matches /\.cpl[ .]*$/i
}

rule Executable_SelfExtractor_Hidden_Script
{
    meta:
        description = "A self-extracting 7-Zip archive set up to run a remote HTML application or a hidden or encoded PowerShell"
        malware = "Trojan.SelfExtractor.Script"
        author = "kiyome"
        date = "2026-11-23"
        reference = "7-Zip SFX configuration; ATT&CK T1027.002"
        severity = 85
    strings:
        $config = ";!@Install@!UTF-8!"
        $mshta = /RunProgram="[^"\r\n]{0,60}mshta(\.exe)? {1,3}["\\]{0,2}https?:/ nocase
        $powershell = /RunProgram="[^"\r\n]{0,60}powershell[^"\r\n]{0,80} -(e|en|enc|encodedcommand|w hidden|windowstyle hidden) / nocase
    condition:
        executable_windows and $config and ($mshta or $powershell)
}
