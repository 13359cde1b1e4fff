// Programs and scripts for the Macintosh.

// Markup stands at the start: a letter that quotes it is no markup.
private rule macos_markup
{
    condition:
        uint8(0) == 0x3C or uint32be(0) == 0xEFBBBF3C or (uint8(0) <= 0x20 and (uint8(1) == 0x3C or uint8(2) == 0x3C or uint8(3) == 0x3C or uint8(4) == 0x3C))
}

private rule macos_program
{
    condition:
        uint32(0) == 0xFEEDFACE or uint32(0) == 0xFEEDFACF or uint32be(0) == 0xFEEDFACE or uint32be(0) == 0xFEEDFACF or
        (uint32be(0) == 0xCAFEBABE and uint32be(4) < 20)
}

private rule macos_script_name
{
    condition:
        filesize < 8MB and filename matches /\.(scpt|applescript|command|tool|terminal|sh|zsh|bash|plist|workflow)[ .]*$/i
}

rule Macos_Script_Decoded_Pipe
{
    meta:
        description = "A shell or Terminal script that decodes Base64 text straight into a shell"
        malware = "Trojan.OSX.ShellDropper"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1059.004, T1140"
        severity = 80
    strings:
        $pipe1 = /echo {1,3}(-n {1,3})?["'\\]{0,2}[A-Za-z0-9+\/=]{40,}["'\\]{0,2} {0,3}\| {0,3}base64 {1,3}(-D|-d|--decode) {0,3}\| {0,3}(\/bin\/)?(ba|z)?sh\b/
        $pipe2 = /base64 {1,3}(-D|-d|--decode) {0,3}<<<? {0,3}["']?[A-Za-z0-9+\/=]{40,}["']?\)? {0,3}\| {0,3}(\/bin\/)?(ba|z)?sh\b/
        $eval = /eval {1,3}"?(\$\(|`)echo {1,3}["']?[A-Za-z0-9+\/=]{40,}["']? {0,3}\| {0,3}base64 {1,3}(-D|-d|--decode)/
    condition:
        macos_script_name and any of them
}

rule Macos_AppleScript_Shell_Download
{
    meta:
        description = "AppleScript that pipes something from the internet into a shell or makes it executable and starts it"
        malware = "Trojan.OSX.AppleScript"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1059.002, T1105"
        severity = 80
    strings:
        $pipe = /do shell script "[^"\r\n]{0,100}curl [^"\r\n]{1,200}\| {0,3}(\/bin\/)?((ba|z)?sh|osascript|python3?|perl)\b/
        $start = /do shell script "[^"\r\n]{0,100}curl [^"\r\n]{1,200}chmod (\+x|7[0-9]{2}) [^"\r\n]{1,100}(&&|;)/
    condition:
        filesize < 8MB and any of them and filename matches /\.(scpt|applescript|command|sh|tool)[ .]*$/i
}

rule Macos_Hidden_Terminal_Download
{
    meta:
        description = "A file for Terminal that fetches something, starts it in the background and closes its window"
        malware = "Trojan.OSX.Terminal"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1059.004, T1564.003"
        severity = 80
    strings:
        $get = /curl [^\r\n]{0,200}https?:\/\//
        $start1 = "chmod +x"
        $start2 = "| sh"
        $start3 = "| bash"
        $start4 = "| zsh"
        $start5 = "| /bin/"
        $start6 = "|bash"
        $hide1 = "killall Terminal"
        $hide2 = "nohup "
        $hide3 = /tell application "Terminal" to (close|quit)/
        $quarantine = "xattr -c"
        $quarantine2 = "xattr -d com.apple.quarantine"
        $temp = /(\/tmp\/|\$TMPDIR|\/private\/var\/|\/Users\/Shared\/)/
    condition:
        filesize < 1MB and
        $get and any of ($start*) and $temp and any of ($hide*, $quarantine*) and filename matches /\.(command|terminal|tool|scpt|applescript)[ .]*$/i
}

rule Macos_Terminal_Profile_Downloads
{
    meta:
        description = "A profile for Terminal whose start command fetches a script and runs it"
        malware = "Trojan.OSX.TerminalProfile"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1059.004"
        severity = 80
    strings:
        $key = /<key>CommandString<\/key>\s{0,20}<string>[^<]{0,100}(curl|wget|base64) [^<]{1,300}(\||&amp;&amp;|;) {0,3}(\/bin\/)?((ba|z)?sh|osascript|python3?|open|chmod)\b/
    condition:
        macos_markup and
        filesize < 1MB and $key
}

rule Macos_Password_Thief
{
    meta:
        description = "Asks for the password in a dialogue, tries it, and collects the secrets of browsers and key chains for sending"
        malware = "Trojan.OSX.Stealer"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1056.002, T1555"
        severity = 90
    strings:
        $ask = "with hidden answer" nocase
        $try1 = "authonly" nocase
        $try2 = "dscl" nocase
        $loot1 = "Login Data"
        $loot2 = "Cookies.binarycookies"
        $loot3 = "login.keychain-db"
        $loot4 = /[Ww]allets?\//
        $send1 = "ditto -c -k"
        $send2 = "curl -X POST"
        $send3 = "curl -F"
        $send4 = "--data-binary"
    condition:
        (macos_program or macos_script_name) and filesize < 64MB and
        $ask and all of ($try*) and 2 of ($loot*) and any of ($send*)
}

rule Macos_Launch_Agent_Download
{
    meta:
        description = "A launch agent that fetches a script and runs it"
        malware = "Trojan.OSX.LaunchAgent"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1543.001"
        severity = 80
    strings:
        $key = "<key>ProgramArguments</key>"
        $load = /<key>(RunAtLoad|StartInterval|KeepAlive)<\/key>/
        $run1 = /<string>[^<]{0,100}curl [^<]{1,200}\| {0,3}(\/bin\/)?((ba|z)?sh|python3?|osascript)\b/
        $run2 = /<string>[^<]{0,100}echo [A-Za-z0-9+\/=]{40,} {0,3}\| {0,3}base64 (-D|-d|--decode)/
    condition:
        macos_markup and
        filesize < 64KB and $key and $load and any of ($run*)
}
