// Rich Text Format: embedded objects are hexadecimal text, so their insides can be
// read without an opener as long as no white space is mixed in.

private rule rtf_document
{
    condition:
        uint32be(0) == 0x7B5C7274 and filesize < 64MB
}

rule Rtf_Equation_Object
{
    meta:
        description = "An equation editor object that updates itself, or whose class name is written to be overlooked"
        malware = "Exploit.RTF.EquationEditor"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2017-11882; CVE-2018-0802; RTF 1.9.1"
        severity = 90
    strings:
        $data = "\\objdata" nocase
        $any = /(45|65)(51|71)(55|75)(41|61)(54|74)(49|69)(4f|6f)(4e|6e)(2e|20|00)/ nocase
        $class = "02ce020000000000c000000000000046" nocase
        $usual = "4571756174696f6e2e33" nocase
        $usual2 = "4571756174696f6e20" nocase
        $update = "\\objupdate" nocase
    condition:
        rtf_document and $data and (($update and ($any or $class)) or ($any and not $usual and not $usual2))
}

rule Rtf_Equation_Font_Overflow
{
    meta:
        description = "An equation editor object whose font name overruns its buffer"
        malware = "Exploit.RTF.EquationEditor.Font"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2017-11882; CVE-2018-0802"
        severity = 95
    strings:
        $font = /0301(01|00)03[01][0-9a-f](0a)?(01)?08[0-9a-f]{4}([1-9a-f][0-9a-f]|0[1-9a-f]){48}/ nocase
        $data = "\\objdata" nocase
    condition:
        rtf_document and $data and $font
}

rule Rtf_Link_Object_Update
{
    meta:
        description = "A linked object with an address of the internet that loads itself"
        malware = "Exploit.RTF.OLE2Link"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2017-0199"
        severity = 90
    strings:
        $link = "4f4c45324c696e6b" nocase
        $moniker = "e0c9ea79f9bace118c8200aa004ba90b" nocase
        $load1 = "\\objupdate" nocase
        $load2 = "\\objautlink" nocase
    condition:
        rtf_document and $moniker and ($link or any of ($load*))
}

rule Rtf_Composite_Moniker
{
    meta:
        description = "An object bound through a composite moniker, as documents do that run a scriptlet"
        malware = "Exploit.RTF.CompositeMoniker"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2017-8570"
        severity = 90
    strings:
        $data = "\\objdata" nocase
        $moniker = "c6afabec197fd211978e0000f8757e2a" nocase
    condition:
        rtf_document and $data and $moniker
}

rule Rtf_Package_Program
{
    meta:
        description = "A packaged object that holds a Windows program or a script"
        malware = "Trojan.RTF.Package"
        author = "kiyome"
        date = "2026-11-23"
        reference = "MS-OLEDS 2.2.5; ATT&CK T1204.002"
        severity = 80
    strings:
        $data = "\\objdata" nocase
        $package = "5061636b61676500" nocase
        $program = /2e(65|45)(78|58)(65|45)00/ nocase
        $program2 = /2e(73|53)(63|43)(72|52)00/ nocase
        $dos = "546869732070726f6772616d2063616e6e6f742062652072756e" nocase
        $script = /2e((6a|4a)(73|53)|(76|56)(62|42)(73|53)|(68|48)(74|54)(61|41)|(77|57)(73|53)(66|46)|(73|53)(63|43)(74|54))00/ nocase
    condition:
        rtf_document and $data and $package and ((any of ($program*) and $dos) or $script)
}

rule Rtf_Malformed_Head_Object : heuristic
{
    meta:
        description = "A document with a damaged head and an embedded object: Word opens it, others take it for text"
        malware = "Heur.Exploit.RTF.Head"
        author = "kiyome"
        date = "2026-11-23"
        reference = "RTF 1.9.1, document area"
        severity = 75
    strings:
        $proper = /\{\\rtf[ 01{\\\r\n]/
        $data = "\\objdata" nocase
    condition:
        rtf_document and not $proper at 0 and $data
}

rule Rtf_Old_Control_Exploit
{
    meta:
        description = "An embedded control of MSCOMCTL or otkloadr, used to overrun or to load a library without address randomisation"
        malware = "Exploit.RTF.Control"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2012-0158; CVE-2015-1641"
        severity = 85
    strings:
        $data = "\\objdata" nocase
        $listview = "4d53436f6d63746c4c69622e4c69737456696577" nocase
        $toolbar = "4d53436f6d63746c4c69622e546f6f6c626172" nocase
        $wrapper = "6f746b6c6f6164722e5752417373656d626c79" nocase
        $wrapper2 = "otkloadr.WRAssembly" nocase
    condition:
        rtf_document and $data and any of ($listview, $toolbar, $wrapper*)
}

rule Rtf_Fragments_Overflow
{
    meta:
        description = "A shape whose fragments overrun their buffer"
        malware = "Exploit.RTF.Fragments"
        author = "kiyome"
        date = "2026-11-23"
        reference = "CVE-2010-3333"
        severity = 90
    strings:
        $shape = /\\sn {0,3}\*?pFragments\}?[^;]{0,60}\\sv {0,3}[0-9]{1,5};[0-9]{1,5};[0-9a-f]{150}/ nocase
    condition:
        rtf_document and $shape
}

rule Rtf_Remote_Template
{
    meta:
        description = "A document that loads its template from a host given by number"
        malware = "Trojan.RTF.RemoteTemplate"
        author = "kiyome"
        date = "2026-11-23"
        reference = "ATT&CK T1221"
        severity = 80
    strings:
        $template = /\{\\\*\\template {1,3}https?:\/\/[0-9]{1,3}(\.[0-9]{1,3}){3}[:\/]/ nocase
    condition:
        rtf_document and $template
}
