package web

import (
	"fmt"
	"strings"

	"kiyome/accounts"
)

// languages lists those that the page speaks. Accounts have the same ones.
var languages = []string{"ja", "en"}

// text is what members read, in each language. A %s or %d stands for what is told.
type text struct{ ja, en string }

func (t text) in(language string) string {
	if language == "en" {
		return t.en
	}
	return t.ja
}

// texts are all that members read, but for what comes from accounts and mail.
var texts = map[string]text{
	"service":   {"ウイルスチェックサービス", "Virus check service"},
	"inbound":   {"メール受信時のウイルスチェック", "Virus check of received mail"},
	"outbound":  {"メール送信時のウイルスチェック", "Virus check of sent mail"},
	"language":  {"日本語", "English"},
	"skip":      {"本文へ移動", "Skip to the content"},
	"menu":      {"メニュー", "Menu"},
	"languages": {"言語", "Language"},

	"nav.services": {"ご利用状況", "Services"},
	"nav.removals": {"駆除の履歴", "Removed viruses"},
	"nav.history":  {"お手続きの履歴", "Changes"},
	"nav.settings": {"設定", "Settings"},
	"logout":       {"ログアウト", "Log out"},
	"loggedin":     {"ログイン中：", "Logged in as "},

	"login.title":    {"ログイン", "Log in"},
	"login.lead":     {"メールアドレスと、メールの受信に使うパスワードを入力してください。", "Enter your mail address and the password with which you read your mail."},
	"login.address":  {"メールアドレス", "Mail address"},
	"login.password": {"パスワード", "Password"},
	"login.button":   {"ログインする", "Log in"},
	"login.wrong":    {"メールアドレスまたはパスワードが違います。", "The mail address or the password is not right."},
	"login.many":     {"ログインの試行が続いたため、受け付けを止めています。しばらくたってからお試しください。", "There were too many attempts to log in. Please try again later."},
	"login.down":     {"ただいまパスワードを確認できません。何も変更されていません。しばらくたってからお試しください。", "Passwords cannot be checked right now. Nothing was changed. Please try again later."},
	"login.out":      {"ログアウトしました。", "You are logged out."},
	"login.ended":    {"ログインの有効期限が切れました。もう一度ログインしてください。", "Your session has ended. Please log in again."},
	"login.private":  {"パスワードは、この画面では保存しません。", "Your password is not stored here."},

	"mailbox":               {"メールアドレス", "Mail address"},
	"services.title":        {"サービスのご利用状況", "Your services"},
	"services.of":           {"%s のご利用状況", "Services of %s"},
	"services.lead":         {"メールボックスごとに、お申し込み・一時停止・解約ができます。変更は、次に届くメールから有効です。", "Each mailbox subscribes, pauses and cancels by itself. A change holds from the next mail on."},
	"service.since":         {"この状態になった日時", "Since"},
	"service.month":         {"%s分の月額利用料金", "Fee for %s"},
	"service.nextfee":       {"%s分の月額利用料金", "Fee for %s"},
	"service.pending":       {"受け付け済みの変更", "Still to come"},
	"service.next":          {"翌月以降の月額利用料金", "Monthly fee from next month on"},
	"service.now":           {"いまお申し込みの場合、%s分", "If you subscribe now, for %s"},
	"service.extra":         {"いまお申し込みの場合、%s分の追加料金", "If you subscribe now, in addition for %s"},
	"service.refused":       {"いまはお申し込みいただけません。詳しくは、ご契約の窓口へお問い合わせください。", "You cannot subscribe at present. Please ask your provider."},
	"service.campaign":      {"キャンペーン中：お申し込みの月は無料", "Campaign: the month of subscribing is free"},
	"service.what.inbound":  {"届いたメールを検査し、検出したウイルスを駆除します。駆除したときは、結果をメールでお知らせします。", "Checks the mail that you get and removes the viruses that are detected. A report by mail tells you what was removed."},
	"service.what.outbound": {"送るメールを検査し、検出したウイルスを駆除してからお届けします。", "Checks the mail that you send, and removes the viruses that are detected before it goes out."},

	"state.on":             {"ご利用中", "Active"},
	"state.paused":         {"一時停止中", "Paused"},
	"state.off":            {"未契約", "Not subscribed"},
	"none":                 {"なし", "none"},
	"free":                 {"無料", "free"},
	"beforetax":            {"税抜", "before tax"},
	"reason.regular":       {"ご契約中のため", "subscribed"},
	"reason.first month":   {"お申し込みの月のため", "month of subscribing"},
	"reason.campaign":      {"キャンペーンのため", "campaign"},
	"reason.closing month": {"ご契約終了の月のため", "month of closing"},

	"pending.subscribed": {"%s に%sのお申し込み", "%s: subscribe to: %s"},
	"pending.paused":     {"%s に%sの一時停止", "%s: pause: %s"},
	"pending.resumed":    {"%s に%sの再開", "%s: resume: %s"},
	"pending.cancelled":  {"%s に%sの解約", "%s: cancel: %s"},
	"pending.closed":     {"%[1]s にメールボックスのご契約終了", "%[1]s: the mailbox closes"},
	"pending.changed":    {"%[1]s に設定の変更", "%[1]s: settings change"},

	"action.subscribe": {"お申し込み", "Subscribe"},
	"action.pause":     {"一時停止", "Pause"},
	"action.resume":    {"再開", "Resume"},
	"action.cancel":    {"解約", "Cancel"},
	"action.takeback":  {"変更を取り消す", "Take it back"},
	"action.of":        {"%s：%s", "%s: %s"},

	"confirm.subscribe":    {"%sのお申し込み", "Subscribe: %s"},
	"confirm.pause":        {"%sの一時停止", "Pause: %s"},
	"confirm.resume":       {"%sの再開", "Resume: %s"},
	"confirm.cancel":       {"%sの解約", "Cancel: %s"},
	"confirm.takeback":     {"%s：受け付けた変更の取り消し", "Take back what was entered: %s"},
	"confirm.lead":         {"次の内容でよろしければ、下のボタンを押してください。", "If this is what you want, press the button below."},
	"confirm.before":       {"現在の状態", "Now"},
	"confirm.after":        {"変更後の状態", "Afterwards"},
	"confirm.notes":        {"ご確認ください", "Please note"},
	"confirm.back":         {"変更せずに戻る", "Back without a change"},
	"confirm.do.subscribe": {"申し込む", "Subscribe"},
	"confirm.do.pause":     {"一時停止する", "Pause"},
	"confirm.do.resume":    {"再開する", "Resume"},
	"confirm.do.cancel":    {"解約する", "Cancel the service"},
	"confirm.do.takeback":  {"変更を取り消す", "Take it back"},
	"confirm.changed":      {"表示のあいだに状態が変わりました。変更は行っていません。もう一度内容をご確認ください。", "Things have changed since this was shown. Nothing was done. Please look at it again."},

	"note.subscribe.inbound":  {"次に届くメールから検査します。", "Your mail is checked from the next one on."},
	"note.subscribe.outbound": {"次に送るメールから検査します。", "What you send is checked from the next mail on."},
	"note.resume.inbound":     {"次に届くメールから検査します。", "Your mail is checked from the next one on."},
	"note.pause.inbound":      {"次に届くメールから有効です。一時停止のあいだに届くメールは検査しません。ウイルスが含まれていても、そのままお届けします。", "It holds from the next mail on. Mail that comes while the service is paused is not checked: viruses in it are not removed."},
	"note.cancel.inbound":     {"解約はただちに有効です。その後に届くメールは検査しません。ウイルスが含まれていても、そのままお届けします。", "It is cancelled at once. Mail is not checked any more: viruses in it are not removed."},
	"note.cancel.outbound":    {"解約はただちに有効です。その後に送るメールは検査しません。", "It is cancelled at once. Mail that you send is not checked any more."},
	"note.again":              {"%s分の料金はすでにかかっているため、追加の料金はありません。", "%s is charged already: there is nothing to pay in addition for it."},
	"note.first":              {"お申し込みの月の料金は、お申し込みの日にかかわらず1か月分です。", "The month of subscribing is charged as a whole, whatever the day."},
	"note.free":               {"キャンペーンのため、お申し込みの月の料金は無料です。翌月から月額利用料金がかかります。", "The month of subscribing is free by a campaign. From the next month on the monthly fee is charged."},
	"note.paused":             {"一時停止のあいだも、月額利用料金がかかります。", "Paused months are charged as well."},
	"note.nocharge":           {"%s分の料金はかかりません。", "Nothing is charged for %s."},
	"note.charged":            {"%s分の料金 %s は、解約してもかかります（%s）。", "%[2]s is charged for %[1]s all the same (%[3]s)."},
	"note.takenback":          {"取り消される変更：%s", "Taken back: %s"},

	"result.subscribe": {"%sをお申し込みいただきました。", "You have subscribed: %s."},
	"result.pause":     {"%sを一時停止しました。", "Paused: %s."},
	"result.resume":    {"%sを再開しました。", "Resumed: %s."},
	"result.cancel":    {"%sを解約しました。", "Cancelled: %s."},
	"result.takeback":  {"%sについて受け付けた変更を取り消しました。", "What was entered was taken back: %s."},
	"result.already":   {"すでにお手続き済みか、いまの状態ではできないお手続きのため、変更は行っていません。", "Nothing was changed: it is so already, or not possible as things stand."},
	"result.language":  {"言語の設定を変更しました。", "The language was changed."},
	"result.many":      {"短い期間に多くのお手続きがあったため、変更は行っていません。しばらくたってからお試しください。", "There were many changes within a short time, and this one was not made. Please try again later."},
	"result.busy":      {"ただいま混み合っているため、変更できませんでした。しばらくたってからお試しください。", "It was not changed, as there is much to do right now. Please try again later."},

	"family.title":     {"ファミリー会員・追加メールボックス", "Family members and extra mailboxes"},
	"family.lead":      {"会員ご本人のメールボックスから、次のメールボックスのお手続きができます。駆除の履歴は、それぞれのメールボックスからだけご覧になれます。", "As the main member you can change the services of these mailboxes. What was removed from their mail is shown to themselves only."},
	"family.month":     {"%s分の料金", "Fee for %s"},
	"family.change":    {"お手続き", "Change"},
	"family.change.of": {"%s のお手続き", "Change services of %s"},
	"family.total":     {"全メールボックスの合計", "All mailboxes together"},
	"family.more":      {"%d 件を超えるメールボックスは表示していません。", "Mailboxes beyond the first %d are not shown."},
	"family.missing":   {"ただいま表示できないメールボックスがあります。", "Some mailboxes cannot be shown right now."},
	"family.back":      {"ご利用状況へ戻る", "Back to your services"},
	"family.received":  {"受信時", "Received mail"},
	"family.sent":      {"送信時", "Sent mail"},

	"removals.title":     {"ウイルスの駆除の履歴", "Viruses that were removed"},
	"removals.lead":      {"%s のメールから検出し、駆除したウイルスの記録です。記録は %d 日間保存します。駆除したファイルは元に戻せません。", "What was detected in the mail of %s, and removed. It is kept for %d days. What was removed cannot be restored."},
	"removals.empty":     {"記録はありません。", "There is nothing here."},
	"removals.off":       {"駆除の履歴は保存していません。結果は、そのつどメールでお知らせしています。", "No history is kept. You are told by mail each time."},
	"removals.time":      {"ウイルス検出日時", "Date and time of detection"},
	"removals.subject":   {"件名", "Subject"},
	"removals.sender":    {"ウイルス送信元メールアドレス", "Sender's address"},
	"removals.file":      {"感染していたファイルの名前", "Name of the infected file"},
	"removals.malware":   {"検出されたウイルスの名前", "Name of the virus"},
	"removals.result":    {"処理結果", "Result"},
	"removals.direction": {"受信・送信", "Direction"},
	"removals.in":        {"受信", "received"},
	"removals.out":       {"送信", "sent"},
	"removals.nosubject": {"（件名なし）", "(no subject)"},
	"removals.nosender":  {"（送信元なし）", "(none)"},
	"removals.forged":    {"ウイルスの多くは、送信元メールアドレスを偽ります。アドレスの持ち主が送ったものとは限りません。", "Viruses often forge the sender's address: its owner need not have sent the mail."},
	"removals.older":     {"これより前の記録", "Older"},
	"removals.newest":    {"最新の記録へ", "Back to the newest"},

	"history.title":    {"お手続きの履歴", "Changes of your services"},
	"history.lead":     {"%s について受け付けたお手続きです。新しいものから表示しています。", "What was entered for %s, the newest first."},
	"history.at":       {"受付日時", "Entered"},
	"history.what":     {"内容", "What"},
	"history.from":     {"適用日時", "Counts from"},
	"history.by":       {"受付", "By"},
	"history.atonce":   {"受付と同時", "at once"},
	"history.you":      {"お客様", "you"},
	"history.provider": {"事業者", "your provider"},
	"history.more":     {"これより前のお手続きは表示していません。", "Older changes are not shown."},

	"event.added":      {"メールボックスのご利用開始", "Mailbox added"},
	"event.subscribed": {"%sのお申し込み", "Subscribed: %s"},
	"event.paused":     {"%sの一時停止", "Paused: %s"},
	"event.resumed":    {"%sの再開", "Resumed: %s"},
	"event.cancelled":  {"%sの解約", "Cancelled: %s"},
	"event.changed":    {"設定の変更", "Settings changed"},
	"event.language":   {"言語の変更（%s）", "Language changed to %s"},
	"event.closed":     {"メールボックスのご契約終了", "Mailbox closed"},

	"settings.title":  {"設定", "Settings"},
	"settings.lead":   {"ウイルスチェックの結果をお知らせするメールと、この画面の言語を選びます。", "The language of the reports that you get by mail, and of these pages."},
	"settings.legend": {"お知らせと画面の言語", "Language of reports and pages"},
	"settings.save":   {"保存する", "Save"},

	"what.file":             {"添付ファイル", "attachment"},
	"what.unnamed":          {"（名前のない添付ファイル）", "(attachment without a name)"},
	"what.body":             {"メール本文", "mail body"},
	"what.whole":            {"メール全体", "the whole mail"},
	"did.removed":           {"削除しました", "removed"},
	"did.replaced":          {"メール全体を削除しました", "the whole mail was removed"},
	"did.replaced.outbound": {"メール全体を、駆除のお知らせに置きかえました", "a notice was sent in place of the mail"},

	"unchecked":                {"なし（%s）", "none (%s)"},
	"unchecked.encrypted":      {"パスワードで保護されているため、検査できません", "protected by a password, and so not checked"},
	"unchecked.closed archive": {"開くことのできない圧縮ファイルのため、検査できません", "an archive that cannot be opened, and so not checked"},
	"unchecked.damaged":        {"壊れているため、検査できません", "damaged, and so not checked"},
	"unchecked.unsupported":    {"対応していない形式のため、検査できません", "of a format that is not supported, and so not checked"},
	"unchecked.limit":          {"大きすぎるか構造が複雑すぎるため、検査できません", "too large or too complicated, and so not checked"},
	"unchecked.error":          {"検査を最後まで行えませんでした", "not checked to its end"},

	"error.title":   {"表示できません", "This page cannot be shown"},
	"error.missing": {"お探しのページはありません。", "There is no such page."},
	"error.fault":   {"ただいまご利用いただけません。何も変更されていません。しばらくたってからお試しください。", "This does not work right now. Nothing was changed. Please try again later."},
	"error.cross":   {"この操作は、別のサイトから送られたため、受け付けませんでした。ログインしてからお試しください。", "This came from another site and was not accepted. Please log in and try it here."},
	"error.request": {"入力された内容を受け付けられませんでした。", "What was entered cannot be accepted."},
	"error.many":    {"短い時間に多くの操作がありました。少し待ってからお試しください。", "There were too many requests. Please wait a moment."},
	"error.back":    {"最初のページへ", "To the first page"},
}

// say gives a text in a language.
func say(language, key string, args ...any) string {
	t, ok := texts[key]
	if !ok {
		panic("no text " + key) // tests go through all pages
	}
	in := t.in(language)
	if !strings.Contains(in, "%") {
		return in
	}
	return fmt.Sprintf(in, args...)
}

// sayOf gives the text of one of several things that a key begins with, and that of
// another where there is none: what stands in files may be newer than this program.
func sayOf(language, begin, thing, another string, args ...any) string {
	if _, ok := texts[begin+thing]; ok {
		another = thing
	}
	return say(language, begin+another, args...)
}

// An action is a change as addresses and texts name it.
type action struct {
	name string
	kind accounts.Kind
}

// actions lists what a member can do with a service, in the order of buttons.
var actions = []action{
	{"subscribe", accounts.Subscribed},
	{"resume", accounts.Resumed},
	{"pause", accounts.Paused},
	{"cancel", accounts.Cancelled},
}

// text is what texts call an action on a service that stands so. Cancelling what is only
// to be subscribed to takes that back.
func (a action) text(before accounts.Standing) string {
	if a.kind == accounts.Cancelled && !before.State.Subscribed {
		return "takeback"
	}
	return a.name
}
