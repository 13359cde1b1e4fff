// Disk images: Windows opens them like folders, and what lies in them loses the
// mark that it came from the internet.

private rule disk_image
{
    condition:
        (filesize > 34KB and (uint32be(0x8001) == 0x43443030 or uint32be(0x8001) == 0x42454130)) or // CD001, BEA01
        uint32be(0) == 0x76686478 or // vhdxfile
        (filesize > 1024 and uint32be(filesize - 512) == 0x636F6E65) // conectix
}

rule Disk_Image : info
{
    meta:
        description = "An ISO, UDF or virtual hard disk image"
        malware = "Info.DiskImage"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ECMA-119; ECMA-167; MS-VHDX; ATT&CK T1553.005"
        severity = 15
        score = 30
    condition:
        disk_image
}

rule Disk_Image_Shortcut_Program : heuristic
{
    meta:
        description = "A small disk image with a shortcut that runs a program of the system, and a program or library beside it"
        malware = "Heur.Trojan.DiskImage"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1553.005, T1204.002"
        severity = 80
    strings:
        $link = { 4C 00 00 00 01 14 02 00 00 00 00 00 C0 00 00 00 00 00 00 46 }
        $program = "rogram cannot be run in DOS mode"
        $program2 = "This program must be run under Win32"
        $run1 = "rundll32" wide nocase
        $run2 = "regsvr32" wide nocase
        $run3 = "powershell" wide nocase
        $run4 = "wscript" wide nocase
        $run5 = "mshta" wide nocase
        $run6 = "cmd.exe" wide nocase
    condition:
        disk_image and filesize < 24MB and any of ($program*) and
        for any i in (1..#link) : ( any of ($run*) in (@link[i]..@link[i] + 4096) )
}
