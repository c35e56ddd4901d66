package digits

import "fmt"

// Grouped returns a number with commas between its thousands: 1,240.
func Grouped(n int64) string {
	const thousand = 1000
	if n < 0 {
		return "-" + Grouped(-n)
	}
	if n < thousand {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", Grouped(n/thousand), n%thousand)
}
